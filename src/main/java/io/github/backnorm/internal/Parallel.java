package io.github.backnorm.internal;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntConsumer;
import java.util.function.Supplier;

/**
 * Work cut into tasks that do not depend on each other, on the caller's thread and idle threads of the common pool.
 *
 * <p>Whoever is free takes a task. The caller takes tasks too and waits only for those that another thread has
 * begun, so that nothing is ever stuck: not inside a parallel stream, whose threads are the same, not when the pool is
 * busy or has no threads at all; and a thread that another process keeps from running costs the time of one task.
 * Requests for help that nobody has taken are withdrawn: in the caller's queue they lie on top of tasks that it forked
 * earlier, and would keep it from running those.
 * Products are cut into about {@value #TASKS_PER_THREAD} tasks a thread.
 *
 * <p>The caller takes the first task that is left, helpers the last: where tasks are numbered by columns, a thread finds
 * in its caches much of what it wrote in the job before.
 *
 * <p>A thread that came to help looks for more work for a moment before it goes back to the pool, unless others' work
 * waits there, because waking a thread takes as long as a small product. While one is looking, smaller work is shared.
 *
 * <p>When a task throws, no further one is begun, and the caller gets the first exception once none runs any more.
 *
 * <p>The system property {@code backnorm.threads} sets the number of threads, the caller's included, up to one more than
 * the common pool has; 1 means the caller's alone. The default is the number of processors, up to the same.
 *
 * <p>What a task computes must not depend on which thread runs it or on where the cuts are.
 */
final class Parallel {
    static final int TASKS_PER_THREAD = 8;

    private static final String WANTED = System.getProperty("backnorm.threads");

    /** Requests for help that may wait in the pool: one that is busy for long, or has no threads, must not fill up. */
    static final int MOST_WAITING = 100;

    private static final AtomicInteger WAITING = new AtomicInteger();

    /** Tasks that other threads than the callers' have done, for tests to see. */
    static final LongAdder HELPED = new LongAdder();

    /** Threads that work is spread over, 0 if the property makes no sense; tests change it. */
    static int threads =
            threads(WANTED, Runtime.getRuntime().availableProcessors(), ForkJoinPool.getCommonPoolParallelism());

    /**
     * Operations for each helper that is woken; tests lower it. To wake a sleeping thread and to be woken by it takes
     * 30 to 100 µs; this is 200 µs of a SIMD product on one thread, or twice that of a scalar one.
     */
    static double threshold = 1.6e7;

    /** The part of the threshold that is enough for helpers that are looking for work. */
    private static final double PART_OF_THRESHOLD = 1.0 / 8;

    /**
     * How long a thread looks for the end of the last task, or for more work, before it sleeps, which costs as much as
     * waking up.
     */
    private static final long PATIENCE = 50_000; // ns

    /**
     * How long nobody looks for more work once a thread that did has not been running: its processor is wanted, or the
     * garbage collector has stopped it, which cannot be told apart.
     */
    private static final long REST = 100_000_000; // ns

    private static volatile long endOfRest = System.nanoTime();

    /** The job begun last, as long as it is not done: what helpers look for. One of another caller hides it. */
    private static final AtomicReference<Job> LATEST = new AtomicReference<>();

    /** Helpers that are looking. */
    private static final AtomicInteger LOOKING = new AtomicInteger();

    private Parallel() {}

    /**
     * Threads that work is spread over, the caller's included; an IllegalStateException if the system property makes no
     * sense.
     */
    static int threads() {
        if (threads == 0) {
            throw new IllegalStateException("backnorm.threads is " + WANTED + ", expected a number from 1 on");
        }
        return threads;
    }

    static int threads(String wanted, int processors, int pool) {
        try {
            int threads = wanted == null ? processors : Integer.parseInt(wanted);
            return Math.max(0, Math.min(threads, pool + 1));
        } catch (NumberFormatException noNumber) {
            return 0;
        }
    }

    /**
     * How many helpers work of this size pays for. It may be others a moment later.
     *
     * @param operations additions, multiplications and the like
     */
    static int helpers(double operations) {
        int looking = operations >= PART_OF_THRESHOLD * threshold ? LOOKING.get() : 0;
        return (int) Math.min(threads() - 1, Math.max(looking, operations / threshold));
    }

    /** The number of tasks that work for so many helpers should be cut into, where it can be. */
    static int tasks(int helpers) {
        return TASKS_PER_THREAD * (helpers + 1);
    }

    /** Runs the tasks 0 to tasks − 1 on the caller's thread and up to so many others; all are done when it returns. */
    static void run(int mostHelpers, int tasks, IntConsumer task) {
        run(mostHelpers, tasks, () -> task);
    }

    /** The same, with a worker made for each thread that takes part, at most one more than there are helpers. */
    static void run(int mostHelpers, int tasks, Supplier<IntConsumer> workers) {
        int helpers = Math.min(mostHelpers, tasks - 1);
        if (helpers <= 0) {
            IntConsumer worker = workers.get();
            for (int i = 0; i < tasks; i++) {
                worker.accept(i);
            }
            return;
        }
        Job job = new Job(tasks, workers, helpers);
        LATEST.set(job);
        for (int i = LOOKING.get(); i < helpers; i++) {
            job.askForHelp();
        }
        job.work();
        job.await();
    }

    /** Looks for a job other than the last one; null if none is begun for a while. */
    private static Job next(Job last) {
        long now = System.nanoTime();
        boolean requestsPiledUp = WAITING.get() > threads; // while the pool was busy, most of them for jobs long done
        if (now - endOfRest < 0 || requestsPiledUp || othersWait()) {
            return null;
        }
        LOOKING.incrementAndGet();
        long end = now + PATIENCE;
        for (Job job = LATEST.get(); (job == last || job == null) && now - end < 0; job = LATEST.get()) {
            if (othersWait()) {
                break;
            }
            Thread.onSpinWait();
            now = System.nanoTime();
        }
        LOOKING.decrementAndGet();
        if (now - end > 10 * PATIENCE) {
            endOfRest = now + REST;
        }
        Job job = LATEST.get(); // once more: so far the caller has counted on this thread
        return job == last ? null : job;
    }

    /** Whether work of others waits in the pool, or in this thread's own part of it. */
    private static boolean othersWait() {
        return ForkJoinPool.commonPool().getQueuedSubmissionCount() > WAITING.get()
                || ForkJoinTask.getQueuedTaskCount() > 0;
    }

    /** Help that has been asked for; the pool runs it, perhaps long after. */
    private static final class Request implements Runnable {
        private final Job job;
        private final AtomicBoolean waits = new AtomicBoolean(true);
        private final ForkJoinTask<?> inPool = ForkJoinTask.adapt(this);

        Request(Job job) {
            this.job = job;
            WAITING.incrementAndGet();
        }

        /** Takes it back, if it is what the caller has put last into the pool's queue and nobody has begun it. */
        void withdraw() {
            if (inPool.tryUnfork()) {
                endWaiting();
            }
        }

        void endWaiting() {
            if (waits.getAndSet(false)) {
                WAITING.decrementAndGet();
            }
        }

        @Override
        public void run() {
            endWaiting();
            for (Job next = job; next != null; next = next(next)) {
                next.help();
            }
        }
    }

    /** The tasks of one call. */
    private static final class Job {
        private final int tasks;
        private final AtomicInteger begun = new AtomicInteger();
        private int fromFront; // by the caller
        private final AtomicInteger fromBack = new AtomicInteger(); // by helpers
        private final AtomicInteger done = new AtomicInteger();
        private final AtomicInteger places; // for helpers
        private final AtomicReference<Throwable> failure = new AtomicReference<>();
        private final Thread caller = Thread.currentThread();
        private final Deque<Request> requests = new ArrayDeque<>(); // the last one first
        private volatile Supplier<IntConsumer> workers;

        Job(int tasks, Supplier<IntConsumer> workers, int helpers) {
            this.tasks = tasks;
            this.workers = workers;
            this.places = new AtomicInteger(helpers);
        }

        void askForHelp() {
            Request request = null;
            try {
                boolean queueIsShort = ForkJoinPool.commonPool().getQueuedSubmissionCount() < MOST_WAITING;
                if (queueIsShort && WAITING.get() < MOST_WAITING) {
                    request = new Request(this);
                    requests.push(request);
                    ForkJoinPool.commonPool().execute(request.inPool);
                }
            } catch (RejectedExecutionException | VirtualMachineError noHelp) {
                if (request != null) {
                    request.endWaiting(); // it may have come into the queue all the same; the caller does without
                }
            }
        }

        void help() {
            if (places.getAndDecrement() > 0) {
                HELPED.add(work());
            }
        }

        /** Does tasks until none is left, and returns how many. */
        int work() {
            Supplier<IntConsumer> workers = this.workers;
            IntConsumer worker = null;
            boolean helps = Thread.currentThread() != caller;
            int worked = 0;
            while (begun.getAndIncrement() < tasks) {
                int i = helps ? tasks - 1 - fromBack.getAndIncrement() : fromFront++;
                try {
                    if (failure.get() == null) {
                        worker = worker == null ? workers.get() : worker;
                        worker.accept(i);
                    }
                } catch (RuntimeException | Error thrown) {
                    failure.compareAndSet(null, thrown);
                }
                worked++;
                if (done.incrementAndGet() == tasks && helps) {
                    LockSupport.unpark(caller);
                }
            }
            return worked;
        }

        void await() {
            boolean interrupted = false;
            long end = System.nanoTime() + PATIENCE;
            while (done.get() < tasks && System.nanoTime() - end < 0) {
                Thread.onSpinWait();
            }
            while (done.get() < tasks) {
                LockSupport.park(this);
                interrupted |= Thread.interrupted();
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
            LATEST.compareAndSet(this, null);
            requests.forEach(Request::withdraw);
            workers = null; // a helper that comes late must not keep the arrays alive
            if (failure.get() instanceof RuntimeException runtime) {
                throw runtime;
            }
            if (failure.get() instanceof Error error) {
                throw error;
            }
        }
    }
}
