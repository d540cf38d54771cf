/* schedules.c - runs random schedules of the session core.
 *
 *   session_schedules [COUNT [SEED]]     COUNT schedules from SEED on (default 100000, seed from the clock); SEED
 * replays one with COUNT 1 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL) * 1000003;
    uint64_t steps = 0;
    printf("%llu schedules from seed %llu\n", (unsigned long long)count, (unsigned long long)seed);
    fflush(stdout);
    for (uint64_t i = 0; i < count; i++) {
        steps += world_run(seed + i);
    }
    printf("clean: %llu schedules, %llu steps\n", (unsigned long long)count, (unsigned long long)steps);
    return 0;
}
