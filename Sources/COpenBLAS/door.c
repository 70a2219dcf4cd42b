// A door that lets in only so many threads at once. OpenBLAS has buffers for as many threads as it was built for; one
// more ends the program.
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "openblas_shim.h"

struct az_door {
    atomic_int inside, waiting;
    int capacity;
    pthread_mutex_t lock;
    pthread_cond_t left;
};

az_door *az_make_door(int capacity) {
    az_door *door = calloc(1, sizeof *door);
    if (!door) abort();
    door->capacity = capacity < 1 ? 1 : capacity;
    pthread_mutex_init(&door->lock, NULL);
    pthread_cond_init(&door->left, NULL);
    return door;
}

void az_free_door(az_door *door) {
    pthread_cond_destroy(&door->left);
    pthread_mutex_destroy(&door->lock);
    free(door);
}

static int try_to_enter(az_door *door) {
    int inside = atomic_load(&door->inside);
    while (inside < door->capacity)
        if (atomic_compare_exchange_weak(&door->inside, &inside, inside + 1)) return 1;
    return 0;
}

void az_enter(az_door *door) {
    if (try_to_enter(door)) return;
    pthread_mutex_lock(&door->lock);
    // Counted before the last try: whoever leaves after it sees that somebody waits.
    atomic_fetch_add(&door->waiting, 1);
    while (!try_to_enter(door)) pthread_cond_wait(&door->left, &door->lock);
    atomic_fetch_sub(&door->waiting, 1);
    pthread_mutex_unlock(&door->lock);
}

void az_leave(az_door *door) {
    atomic_fetch_sub(&door->inside, 1);
    if (atomic_load(&door->waiting) == 0) return;
    pthread_mutex_lock(&door->lock);
    pthread_cond_signal(&door->left);
    pthread_mutex_unlock(&door->lock);
}
