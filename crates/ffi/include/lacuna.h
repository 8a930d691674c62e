/* Trained closures for solvers in other languages: a checkpoint is opened, and draws of H given ω are asked for.
 *
 * Fields are n × n doubles, row-major, axis 0 = x (Fortran: the array w(n, n) with y first), n that of lacuna_grid.
 * A handle may be used by several threads; one waits for the other, and draws come from its one stream in the order of the
 * calls. lacuna_copy gives each thread a handle of its own, and different handles do not wait. A draw allocates nothing
 * after the first. Nothing unwinds across the border: what goes wrong is a status of −1 (or a null pointer), and
 * lacuna_last_error says what it was. */
#ifndef LACUNA_H
#define LACUNA_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A trained closure with a random stream of its own. */
typedef struct LacunaModel LacunaModel;

/* The version of the library. */
const char *lacuna_version(void);

/* What went wrong last in this thread; valid until the next call that fails. Empty if nothing did. */
const char *lacuna_last_error(void);

/* Opens a checkpoint; null if that fails. Its stream is that of seed 0 until lacuna_seed chooses another. */
LacunaModel *lacuna_open(const char *path);

/* A second handle with the same weights and the same state of the stream; null if that fails. */
LacunaModel *lacuna_copy(const LacunaModel *model);

/* Closes a handle, which is not to be used again; a null pointer is none. */
void lacuna_close(LacunaModel *model);

/* Points per side of the fields; -1 if that fails. */
int lacuna_grid(const LacunaModel *model);

/* Begins the random stream path of the seed tree of seed (member 3 of an ensemble draws from "rollout/3"): the same draws
 * follow whenever it is begun. 0, or -1 if that fails. */
int lacuna_seed(const LacunaModel *model, uint64_t seed, const char *path);

/* Writes a sample of H given the vorticity w at time t to h, fields of n points per side. 0, or -1 if that fails. */
int lacuna_sample(const LacunaModel *model, int n, const double *w, double t, double *h);

/* Writes the conditional mean of H given the vorticity w at time t to h, fields of n points per side. 0, or -1 if that
 * fails. */
int lacuna_mean(const LacunaModel *model, int n, const double *w, double t, double *h);

/* Writes a sample of H minus the conditional mean to h, given the vorticity w at time t and its mean by lacuna_mean,
 * fields of n points per side: for loops that hold the mean and scale or redraw the rest. 0, or -1 if that fails. */
int lacuna_fluctuation(const LacunaModel *model, int n, const double *w, double t, const double *mean, double *h);

#ifdef __cplusplus
}
#endif

#endif
