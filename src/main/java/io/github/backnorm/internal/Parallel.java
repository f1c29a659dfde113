package io.github.backnorm.internal;

import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntConsumer;

/**
 * Work cut into tasks that do not depend on each other, on the caller's thread and idle threads of the common pool.
 *
 * <p>Whoever is free takes the next task. The caller takes tasks too and waits only for those that another thread has
 * begun, so that nothing is ever stuck: not inside a parallel stream, whose threads are the same, not when the pool is
 * busy or has no threads at all; and a thread that another process keeps from running costs the time of one task.
 * Callers cut their work into {@value #TASKS_PER_THREAD} tasks a thread or more.
 *
 * <p>The system property {@code backnorm.threads} limits the threads, the caller's included; 1 means the caller's alone.
 *
 * <p>What a task computes must not depend on which thread runs it or on where the cuts are.
 */
final class Parallel {
    static final int TASKS_PER_THREAD = 8;

    private static final int THREADS = threads(
            System.getProperty("backnorm.threads"),
            Math.min(Runtime.getRuntime().availableProcessors(), ForkJoinPool.getCommonPoolParallelism() + 1));

    /** Operations from which on threads are used; tests lower it. */
    static double threshold = 4e6;

    private Parallel() {}

    /** Threads that work is spread over, the caller's included. */
    static int threads() {
        return THREADS;
    }

    static int threads(String wanted, int available) {
        if (wanted == null) {
            return available;
        }
        try {
            int threads = Integer.parseInt(wanted);
            if (threads > 0) {
                return threads;
            }
        } catch (NumberFormatException noNumber) {
            // refused below
        }
        throw new IllegalStateException("backnorm.threads is " + wanted + ", expected a number from 1 on");
    }

    /**
     * Whether work of this size is worth spreading over threads.
     *
     * @param operations additions, multiplications and the like
     */
    static boolean pays(double operations) {
        return THREADS > 1 && operations >= threshold;
    }

    /** The number of tasks that work should at least be cut into. */
    static int tasks() {
        return TASKS_PER_THREAD * THREADS;
    }

    /** Runs the tasks 0 to tasks − 1, on the caller's thread alone if not parallel; all are done when it returns. */
    static void run(boolean parallel, int tasks, IntConsumer task) {
        int helpers = parallel ? Math.min(THREADS, tasks) - 1 : 0;
        if (helpers <= 0) {
            for (int i = 0; i < tasks; i++) {
                task.accept(i);
            }
            return;
        }
        Job job = new Job(tasks, task);
        for (int i = 0; i < helpers; i++) {
            ForkJoinPool.commonPool().execute(job);
        }
        job.run();
        job.await();
    }

    private static final class Job implements Runnable {
        private final int tasks;
        private final AtomicInteger next = new AtomicInteger();
        private final AtomicInteger done = new AtomicInteger();
        private final Thread caller = Thread.currentThread();
        private volatile IntConsumer task;
        private volatile Throwable failure;

        Job(int tasks, IntConsumer task) {
            this.tasks = tasks;
            this.task = task;
        }

        @Override
        public void run() {
            IntConsumer task = this.task;
            for (int i = next.getAndIncrement(); i < tasks; i = next.getAndIncrement()) {
                try {
                    task.accept(i);
                } catch (RuntimeException | Error thrown) {
                    failure = thrown;
                }
                if (done.incrementAndGet() == tasks) {
                    LockSupport.unpark(caller);
                }
            }
        }

        void await() {
            boolean interrupted = false;
            while (done.get() < tasks) {
                LockSupport.park(this);
                interrupted |= Thread.interrupted();
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
            task = null; // a helper that comes late must not keep the arrays alive
            if (failure instanceof RuntimeException runtime) {
                throw runtime;
            }
            if (failure instanceof Error error) {
                throw error;
            }
        }
    }
}
