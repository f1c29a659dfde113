package io.github.backnorm.internal;

import io.github.backnorm.internal.threads.Parallel;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.IntConsumer;
import java.util.function.Supplier;

/** Threads that help with work of any size, and that remember who has worked. */
final class WatchedThreads extends Parallel {
    private final Set<Thread> workers = ConcurrentHashMap.newKeySet();

    WatchedThreads(int threads) {
        super(threads, 0);
    }

    @Override
    public void run(int mostHelpers, int tasks, Supplier<IntConsumer> workers) {
        super.run(mostHelpers, tasks, () -> {
            this.workers.add(Thread.currentThread());
            return workers.get();
        });
    }

    /** Whether another thread than this one has done a task. */
    boolean haveHelped() {
        return workers.stream().anyMatch(worker -> worker != Thread.currentThread());
    }
}
