/* A solver in C: opens the checkpoint that it is given, draws, and is told what it does wrong. Any compiler of C99. */
#include "lacuna.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                                        \
    if (!(what)) {                                                                         \
        fprintf(stderr, "line %d: " #what "; last error: %s\n", __LINE__, lacuna_last_error()); \
        return 1;                                                                          \
    }

int main(int argc, char **argv) {
    CHECK(argc == 2);
    CHECK(strlen(lacuna_version()) > 0);
    CHECK(strlen(lacuna_last_error()) == 0);
    CHECK(lacuna_open("nowhere.lacuna") == NULL);
    CHECK(strstr(lacuna_last_error(), "nowhere.lacuna") != NULL);
    lacuna_close(NULL);
    LacunaModel *model = lacuna_open(argv[1]);
    CHECK(model != NULL);
    int n = lacuna_grid(model);
    CHECK(n > 0);
    double *w = malloc(sizeof(double) * n * n), *mean = malloc(sizeof(double) * n * n);
    double *h = malloc(sizeof(double) * n * n), *again = malloc(sizeof(double) * n * n);
    CHECK(w && mean && h && again);
    for (int i = 0; i < n * n; i++) w[i] = sin(0.3 * (i / n)) + cos(0.2 * (i % n));
    CHECK(lacuna_seed(model, 20771, "rollout/0") == 0);
    LacunaModel *copy = lacuna_copy(model);
    CHECK(copy != NULL);
    CHECK(lacuna_sample(model, n, w, 0.0, h) == 0);
    CHECK(lacuna_sample(copy, n, w, 0.0, again) == 0);
    CHECK(memcmp(h, again, sizeof(double) * n * n) == 0);
    lacuna_close(copy);
    CHECK(lacuna_mean(model, n, w, 0.0, mean) == 0);
    CHECK(lacuna_fluctuation(model, n, w, 0.0, mean, h) == 0);
    CHECK(lacuna_sample(model, n / 2, w, 0.0, h) == -1);
    CHECK(strstr(lacuna_last_error(), "points per side") != NULL);
    w[1] = NAN;
    CHECK(lacuna_sample(model, n, w, 0.0, h) == -1);
    CHECK(strstr(lacuna_last_error(), "at (0, 1)") != NULL);
    lacuna_close(model);
    free(w), free(mean), free(h), free(again);
    puts("a solver in C drew from the closure");
    return 0;
}
