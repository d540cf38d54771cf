/* schedules.c - runs random schedules of the session core.
 *
 *   session_schedules [COUNT [SEED]]   COUNT schedules from SEED on (default 100000; seed from the clock). With COUNT
 * 1, SEED is replayed. From 10000 on all that schedules can reach must be reached. `./run schedules` runs a million on
 * two cores. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TELL_EVERY = 50000 };

static int check_cover(void)
{
    int missing = 0;
    for (int i = 0; i < COVER_COUNT; i++) {
        printf("%s%s %llu", i == 0 ? "reached: " : ", ", cover_name((enum cover)i), (unsigned long long)cover[i]);
        missing += cover[i] == 0;
    }
    printf("\n");
    return missing;
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL) * 1000003;
    uint64_t steps = 0;
    printf("%llu schedules from seed %llu\n", (unsigned long long)count, (unsigned long long)seed);
    fflush(stdout);
    for (uint64_t i = 0; i < count; i++) {
        steps += world_run(seed + i);
        if ((i + 1) % TELL_EVERY == 0) {
            printf("  %llu from seed %llu on are clean\n", (unsigned long long)i + 1, (unsigned long long)seed);
            fflush(stdout);
        }
    }
    printf("clean: %llu schedules, %llu steps\n", (unsigned long long)count, (unsigned long long)steps);
    if (check_cover() > 0 && count >= 10000) {
        printf("something was never reached\n");
        return 1;
    }
    return 0;
}
