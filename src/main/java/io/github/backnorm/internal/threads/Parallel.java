package io.github.backnorm.internal.threads;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntConsumer;
import java.util.function.Supplier;

/**
 * Runs tasks that do not depend on each other, on the caller's thread and idle threads of the common pool.
 *
 * <p>Whoever is free takes a task. The caller takes tasks too and waits only for those that another thread has begun.
 * So it never gets stuck: not inside a parallel stream, which uses the same threads, and not when the pool is busy or
 * has no threads. A helper that another process keeps from running costs the time of one task. Requests for help that
 * nobody has taken are withdrawn: in the caller's queue they would lie on top of tasks that it forked earlier, and keep
 * it from running those. Products are cut into about {@value #TASKS_PER_THREAD} tasks a thread.
 *
 * <p>The caller takes the first task that is left, helpers the last: where tasks are numbered by columns, a thread
 * finds in its caches much of what it wrote in the job before.
 *
 * <p>Waking a thread takes as long as a small product. So a helper looks for more work for a moment before it goes back
 * to the pool, unless work of others waits there. While a helper is looking, smaller work is shared.
 *
 * <p>When a task throws, no further one begins, and the caller gets the first exception once no task is running.
 *
 * <p>The system property {@code backnorm.threads} sets the number of threads, the caller's included; 1 means the
 * caller's alone. The default is the number of processors. Either is limited to one more than the common pool has.
 *
 * <p>What a task computes must not depend on which thread runs it or on where the cuts are.
 */
public class Parallel {
    private static final int TASKS_PER_THREAD = 8;

    private static final String PROPERTY = "backnorm.threads";

    /**
     * Operations for each helper that is woken: 200 µs of a SIMD product on one thread, or 400 µs of a scalar one. To
     * wake a sleeping thread and to be woken by it takes 30 to 100 µs.
     */
    private static final double THRESHOLD = 1.6e7;

    /** The most requests for help that may wait in a pool: one that is busy or has no threads must not fill up. */
    static final int MOST_WAITING = 100;

    /** The part of the threshold that is enough for helpers that are already looking for work. */
    private static final double PART_OF_THRESHOLD = 1.0 / 8;

    /**
     * How long a thread spins for the end of the last task, or for more work, before it sleeps. Going to sleep costs as
     * much as waking up.
     */
    private static final long PATIENCE = 50_000; // ns

    /**
     * How long no helper looks for more work after one was suspended while it looked. Its processor was wanted, or the
     * garbage collector stopped it; the two look the same.
     */
    private static final long REST = 100_000_000; // ns

    private final int threads;
    private final double threshold;
    private volatile long endOfRest = System.nanoTime();

    /** Requests for help that wait in the pool. */
    private final AtomicInteger waiting = new AtomicInteger();

    /** The job begun last, until it is done: what helpers look for. The next job of any caller takes its place. */
    private final AtomicReference<Job> latest = new AtomicReference<>();

    /** Helpers that are looking for work. */
    private final AtomicInteger looking = new AtomicInteger();

    /** For {@code threads} threads, the caller's included; a helper has at least {@code threshold} operations to do. */
    public Parallel(int threads, double threshold) {
        this.threads = threads;
        this.threshold = threshold;
    }

    /**
     * With the threads that the system property asks for.
     *
     * @throws IllegalStateException if it is not a positive int
     */
    public static Parallel ofThisJvm() {
        String wanted = System.getProperty(PROPERTY);
        int processors = Runtime.getRuntime().availableProcessors();
        int threads = threads(wanted, processors, ForkJoinPool.getCommonPoolParallelism());
        if (threads == 0) {
            throw new IllegalStateException(PROPERTY + " is " + wanted + ", expected a number from 1 on");
        }
        return new Parallel(threads, THRESHOLD);
    }

    /** What the system property asks for, up to one more than the pool has; 0 if it is not a positive int. */
    static int threads(String wanted, int processors, int pool) {
        try {
            int threads = wanted == null ? processors : Integer.parseInt(wanted);
            return Math.max(0, Math.min(threads, pool + 1));
        } catch (NumberFormatException noNumber) {
            return 0;
        }
    }

    /** The most threads that work is spread over, the caller's included. */
    public final int threads() {
        return threads;
    }

    /**
     * The number of helpers that work of this size pays for. It changes with the number that are looking for work.
     *
     * @param operations additions, multiplications and the like
     */
    public final int helpers(double operations) {
        int ready = operations >= PART_OF_THRESHOLD * threshold ? looking.get() : 0;
        return (int) Math.min(threads - 1, Math.max(ready, operations / threshold));
    }

    /** The number of tasks to cut work for {@code helpers} helpers into, if possible. */
    public static int tasks(int helpers) {
        return TASKS_PER_THREAD * (helpers + 1);
    }

    /** Runs the tasks 0 to tasks − 1 on the caller's thread and at most {@code mostHelpers} others, to the end. */
    public final void run(int mostHelpers, int tasks, IntConsumer task) {
        run(mostHelpers, tasks, () -> task);
    }

    /** The same, with a worker for each thread that takes part, at most {@code mostHelpers + 1}. */
    public void run(int mostHelpers, int tasks, Supplier<IntConsumer> workers) {
        int helpers = Math.min(mostHelpers, tasks - 1);
        if (helpers <= 0) {
            IntConsumer worker = workers.get();
            for (int i = 0; i < tasks; i++) {
                worker.accept(i);
            }
            return;
        }
        Job job = new Job(tasks, workers, helpers);
        latest.set(job);
        for (int i = looking.get(); i < helpers; i++) {
            job.askForHelp();
        }
        job.work();
        job.await();
    }

    /** Looks for a job other than the last one; null if none is begun for a while. */
    private Job next(Job last) {
        long now = System.nanoTime();
        boolean requestsPiledUp = waiting.get() > threads; // while the pool was busy, most of them for jobs long done
        if (now - endOfRest < 0 || requestsPiledUp || othersWait()) {
            return null;
        }
        looking.incrementAndGet();
        long end = now + PATIENCE;
        for (Job job = latest.get(); (job == last || job == null) && now - end < 0; job = latest.get()) {
            if (othersWait()) {
                break;
            }
            Thread.onSpinWait();
            now = System.nanoTime();
        }
        looking.decrementAndGet();
        if (now - end > 10 * PATIENCE) {
            endOfRest = now + REST;
        }
        Job job = latest.get(); // once more: a caller may have counted on this thread
        return job == last ? null : job;
    }

    /** Whether work other than requests for help waits in the pool, or any in this thread's own queue. */
    private boolean othersWait() {
        return ForkJoinPool.commonPool().getQueuedSubmissionCount() > waiting.get()
                || ForkJoinTask.getQueuedTaskCount() > 0;
    }

    /** A request for help. The pool runs it, perhaps long after the job is done. */
    private final class Request implements Runnable {
        private final Job job;
        private final AtomicBoolean waits = new AtomicBoolean(true);
        private final ForkJoinTask<?> inPool = ForkJoinTask.adapt(this);

        Request(Job job) {
            this.job = job;
            waiting.incrementAndGet();
        }

        /** Withdraws the request, if it is the last one in the caller's queue and nobody has begun it. */
        void withdraw() {
            if (inPool.tryUnfork()) {
                endWaiting();
            }
        }

        void endWaiting() {
            if (waits.getAndSet(false)) {
                waiting.decrementAndGet();
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
    private final class Job {
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
                if (queueIsShort && waiting.get() < MOST_WAITING) {
                    request = new Request(this);
                    requests.push(request);
                    ForkJoinPool.commonPool().execute(request.inPool);
                }
            } catch (RejectedExecutionException | VirtualMachineError noHelp) {
                if (request != null) {
                    request.endWaiting(); // it may be in the queue all the same; the caller does without
                }
            }
        }

        void help() {
            if (places.getAndDecrement() > 0) {
                work();
            }
        }

        /** Does tasks until none is left. */
        void work() {
            Supplier<IntConsumer> workers = this.workers;
            IntConsumer worker = null;
            boolean helps = Thread.currentThread() != caller;
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
                if (done.incrementAndGet() == tasks && helps) {
                    LockSupport.unpark(caller);
                }
            }
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
            latest.compareAndSet(this, null);
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
