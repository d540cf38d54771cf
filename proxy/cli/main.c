/* main.c - the executable: everything is in cli.c, so that tests can call it. */
#include "commands.h"

int main(int argc, char **argv)
{
    return ps_cli(argc, argv);
}
