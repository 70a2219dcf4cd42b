// A door that lets in only so many threads at once. OpenBLAS has buffers for as many threads as it was built for; one
// more ends the program. It makes a buffer when a thread first needs it, and where the system refuses one it asks for
// ever: more threads than there are buffers for are let in only where `has_room` says that theirs can be made.
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "openblas_shim.h"

struct az_door {
    atomic_int inside, waiting;
    atomic_int capacity;  // threads at most; falls to `opened` where there is no room for more
    atomic_int opened;    // threads that are let in at once at present
    int sure;             // of these, the first, whose buffers are known to be there
    int (*has_room)(int buffers);
    pthread_mutex_t lock;
    pthread_cond_t left;
};

az_door *az_make_door(int capacity, int sure, int (*has_room)(int buffers)) {
    az_door *door = calloc(1, sizeof *door);
    if (!door) abort();
    if (capacity < 1) capacity = 1;
    atomic_store(&door->capacity, capacity);
    door->sure = sure < 1 ? 1 : sure < capacity ? sure : capacity;
    atomic_store(&door->opened, door->sure);
    door->has_room = has_room;
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
    while (inside < atomic_load(&door->opened))
        if (atomic_compare_exchange_weak(&door->inside, &inside, inside + 1)) return 1;
    return 0;
}

// Lets in one thread more than so far, or none more ever. Whether the buffers of those that were let in without being
// sure have been made by now is not known: there must be room for all of them.
static void open_further(az_door *door) {
    pthread_mutex_lock(&door->lock);
    const int opened = atomic_load(&door->opened);
    if (opened < atomic_load(&door->capacity)) {
        if (!door->has_room || door->has_room(opened + 1 - door->sure)) {
            atomic_store(&door->opened, opened + 1);
        } else {
            atomic_store(&door->capacity, opened);
        }
    }
    pthread_mutex_unlock(&door->lock);
}

void az_enter(az_door *door) {
    if (try_to_enter(door)) return;
    while (atomic_load(&door->opened) < atomic_load(&door->capacity)) {
        open_further(door);
        if (try_to_enter(door)) return;
    }
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
