package io.github.backnorm.internal.threads;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.backnorm.internal.ChildJvm;
import io.github.backnorm.internal.Waiting;
import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The build gives the common pool three threads, whatever the machine.
 *
 * <p>Each test runs on a thread of its own. On JUnit's thread a time limit would only interrupt, and {@link
 * Parallel#run} waits on when it is interrupted.
 */
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
final class ParallelTest {
    private final Parallel parallel = new Parallel(3, 1);

    /** Runs tasks, and lets each have been done once when run returns. */
    private void assertEachOnce(int helpers, int tasks) {
        AtomicIntegerArray done = new AtomicIntegerArray(tasks);
        parallel.run(helpers, tasks, done::incrementAndGet);
        assertThat(IntStream.range(0, tasks).map(done::get)).containsOnly(1).hasSize(tasks);
    }

    /**
     * Waits for what the pool runs. That of JDK 17 now and then lets a thread sleep while a task waits, until one comes
     * from another thread.
     */
    private static void await(CountDownLatch latch) {
        Waiting.until(() -> {
            boolean done = isDone(latch, 100);
            if (!done) {
                new Thread(() -> ForkJoinPool.commonPool().execute(() -> {})).start();
            }
            return done;
        });
    }

    private static boolean isDone(CountDownLatch latch, int millis) {
        try {
            return latch.await(millis, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Runs three tasks that wait for each other. */
    private static void assertAllThreadsWork(Parallel parallel) {
        Set<Thread> threads = ConcurrentHashMap.newKeySet();
        CountDownLatch begun = new CountDownLatch(3);
        parallel.run(2, 3, task -> {
            threads.add(Thread.currentThread());
            begun.countDown();
            await(begun);
        });
        assertThat(threads).hasSize(3).contains(Thread.currentThread());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 24, 1000})
    void run_anyNumberOfTasks_doesEachOnce(int tasks) {
        assertEachOnce(2, tasks);
        assertEachOnce(0, tasks);
    }

    @Test
    void run_noTasks_returns() {
        IntConsumer never = task -> {
            throw new AssertionError("task " + task);
        };
        parallel.run(2, 0, never);
        parallel.run(0, 0, never);
    }

    @Test
    void run_workers_areMadeOnceForEachThread() {
        AtomicIntegerArray done = new AtomicIntegerArray(30);
        AtomicInteger workers = new AtomicInteger();
        CountDownLatch begun = new CountDownLatch(3);
        parallel.run(2, done.length(), () -> {
            workers.incrementAndGet();
            begun.countDown();
            await(begun);
            Thread thread = Thread.currentThread();
            return task -> {
                assertThat(Thread.currentThread()).isSameAs(thread);
                done.incrementAndGet(task);
            };
        });
        assertThat(workers).hasValue(3);
        assertThat(IntStream.range(0, done.length()).map(done::get)).containsOnly(1);
    }

    @Test
    void run_callerAndHelpers_takeTasksFromTheTwoEnds() {
        Thread caller = Thread.currentThread();
        Thread[] by = new Thread[20];
        CountDownLatch begun = new CountDownLatch(3);
        CountDownLatch callersSecond = new CountDownLatch(2);
        parallel.run(2, by.length, task -> {
            by[task] = Thread.currentThread();
            begun.countDown();
            await(begun);
            if (Thread.currentThread() == caller) {
                callersSecond.countDown();
            } else {
                await(callersSecond);
            }
        });
        assertThat(by[19]).isNotEqualTo(caller);
        assertThat(by).startsWith(caller, caller);
        assertThat(List.of(by).subList(0, List.of(by).lastIndexOf(caller))).containsOnly(caller);
    }

    @Test
    void run_noHelpers_staysOnCallersThread() {
        Set<Thread> threads = ConcurrentHashMap.newKeySet();
        parallel.run(0, 100, task -> threads.add(Thread.currentThread()));
        assertThat(threads).containsExactly(Thread.currentThread());
    }

    @Test
    void run_insideOwnForkJoinPool_doesEachOnce() {
        ForkJoinPool pool = new ForkJoinPool(2);
        try {
            pool.invoke(ForkJoinTask.adapt(() -> assertEachOnce(2, 100)));
        } finally {
            pool.shutdown();
        }
    }

    @Test
    void run_underParallelStreamAndNested_doesEachOnce() {
        AtomicInteger done = new AtomicInteger();
        IntStream.range(0, 50)
                .parallel()
                .forEach(i -> parallel.run(2, 7, j -> parallel.run(2, 5, k -> done.incrementAndGet())));
        assertThat(done).hasValue(50 * 7 * 5);
    }

    /** Keeps all threads of the pool busy until the end. */
    private static void blockPool(CountDownLatch end) {
        int threads = ForkJoinPool.getCommonPoolParallelism();
        CountDownLatch begun = new CountDownLatch(threads);
        for (int i = 0; i < threads; i++) {
            ForkJoinPool.commonPool().execute(() -> {
                begun.countDown();
                isDone(end, 1000 * Waiting.SECONDS);
            });
        }
        await(begun);
    }

    @Test
    void run_underParallelStreamWhilePoolIsBlocked_leavesNothingOverTheStreamsTasks() {
        CountDownLatch end = new CountDownLatch(1);
        AtomicInteger done = new AtomicInteger();
        try {
            blockPool(end);
            IntStream.range(0, 64).parallel().forEach(i -> parallel.run(2, 5, j -> done.incrementAndGet()));
        } finally {
            end.countDown();
        }
        assertThat(done).hasValue(64 * 5);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void run_poolBlocked_callerDoesAllAndNothingPilesUpOrIsKept(boolean inOwnPool) {
        ForkJoinPool pool = new ForkJoinPool(1);
        try {
            if (inOwnPool) {
                pool.invoke(ForkJoinTask.adapt(() -> assertNothingPilesUpOrIsKept(1, Parallel.MOST_WAITING)));
            } else {
                assertNothingPilesUpOrIsKept(0, 10); // of 2,000 requests: it takes them back
            }
        } finally {
            pool.shutdown();
        }
        Waiting.until(() -> ForkJoinPool.commonPool().getQueuedSubmissionCount() == 0);
        assertAllThreadsWork(parallel);
    }

    private void assertNothingPilesUpOrIsKept(int least, int most) {
        CountDownLatch end = new CountDownLatch(1);
        try {
            blockPool(end);
            Set<Thread> threads = ConcurrentHashMap.newKeySet();
            WeakReference<double[]> array = runOverArray(threads);
            for (int i = 0; i < 10 * Parallel.MOST_WAITING; i++) {
                assertEachOnce(2, 5);
            }
            assertThat(threads).containsExactly(Thread.currentThread());
            assertThat(ForkJoinPool.commonPool().getQueuedSubmissionCount()).isBetween(least, most);
            Waiting.until(() -> {
                System.gc();
                return array.get() == null;
            });
        } finally {
            end.countDown();
        }
    }

    private WeakReference<double[]> runOverArray(Set<Thread> threads) {
        double[] array = new double[100];
        parallel.run(2, 100, task -> {
            array[task] = task;
            threads.add(Thread.currentThread());
        });
        return new WeakReference<>(array);
    }

    @Test
    void run_everyTaskThrows_rethrowsFirstAndBeginsNoMore() {
        for (int repetition = 0; repetition < 200; repetition++) {
            List<RuntimeException> thrown = new ArrayList<>();
            assertThatThrownBy(() -> parallel.run(2, 1000, task -> {
                        RuntimeException failure = new IllegalStateException("task " + task);
                        synchronized (thrown) {
                            thrown.add(failure);
                        }
                        throw failure;
                    }))
                    .isIn(thrown);
            assertThat(thrown).hasSizeLessThanOrEqualTo(3); // one for each thread
        }
        assertEachOnce(2, 100);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void run_oneTaskThrows_rethrowsOnceTheOthersHaveEnded(boolean error) {
        Throwable failure = error ? new AssertionError() : new ArithmeticException();
        CountDownLatch bothBegun = new CountDownLatch(2);
        AtomicBoolean ended = new AtomicBoolean();
        assertThatThrownBy(() -> parallel.run(2, 2, task -> {
                    bothBegun.countDown();
                    await(bothBegun);
                    if (task == 0 && failure instanceof Error e) {
                        throw e;
                    } else if (task == 0) {
                        throw (RuntimeException) failure;
                    }
                    sleep();
                    ended.set(true);
                }))
                .isSameAs(failure);
        assertThat(ended).isTrue();
    }

    private static void sleep() {
        try {
            Thread.sleep(50);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void run_callerInterrupted_doesAllAndKeepsTheFlag() {
        Thread caller = Thread.currentThread();
        CountDownLatch bothBegun = new CountDownLatch(2);
        AtomicBoolean ended = new AtomicBoolean();
        parallel.run(2, 2, task -> {
            bothBegun.countDown();
            Waiting.until(() -> bothBegun.getCount() == 0);
            if (Thread.currentThread() != caller) {
                caller.interrupt();
                sleep();
                ended.set(true);
            } else {
                Waiting.until(caller::isInterrupted);
            }
        });
        assertThat(Thread.interrupted()).isTrue();
        assertThat(ended).isTrue();
    }

    @ParameterizedTest
    @CsvSource({
        "   , 8, 7, 8",
        "   , 8, 3, 4",
        "   , 1, 1, 1",
        "   , 2, 0, 1",
        "  1, 8, 7, 1",
        "  4, 2, 7, 4",
        " 99, 8, 7, 8",
        "  0, 8, 7, 0",
        " -1, 8, 7, 0",
        "1.5, 8, 7, 0",
        "'' , 8, 7, 0"
    })
    void threads_propertyProcessorsAndPool_isWhatThereIs(String wanted, int processors, int pool, int expected) {
        assertThat(Parallel.threads(wanted, processors, pool)).isEqualTo(expected);
    }

    @Test
    void run_moreHelpersLookForWorkThanWanted_leavesThemOut() {
        for (int repetition = 0; repetition < 200; repetition++) {
            assertAllThreadsWork(parallel);
            Set<Thread> threads = ConcurrentHashMap.newKeySet();
            parallel.run(1, 6, task -> {
                threads.add(Thread.currentThread());
                LockSupport.parkNanos(100_000);
            });
            assertThat(threads).hasSizeLessThanOrEqualTo(2);
        }
    }

    @Test
    void run_againAndAgain_eachTimeOnAllThreads() {
        for (int repetition = 0; repetition < 1000; repetition++) {
            assertAllThreadsWork(parallel);
        }
    }

    @Test
    void helpers_sleeping_oneForEachMultipleOfTheThreshold() {
        Parallel ofHundreds = new Parallel(3, 100);
        Waiting.until(() -> ofHundreds.helpers(99) == 0); // no helper is looking for work
        assertThat(ofHundreds.helpers(100)).isEqualTo(1);
        assertThat(ofHundreds.helpers(199)).isEqualTo(1);
        assertThat(ofHundreds.helpers(200)).isEqualTo(2);
        assertThat(ofHundreds.helpers(1e99)).isEqualTo(2);
        assertThat(new Parallel(1, 100).helpers(1e99)).isZero();
    }

    @Test
    void helpers_haveJustWorked_forSmallerWorkForAMoment() {
        Parallel threads = new Parallel(3, 160);
        Waiting.until(() -> {
            assertAllThreadsWork(threads);
            return threads.helpers(20) > 0;
        });
        assertThat(threads.helpers(19)).isZero();
        Waiting.until(() -> threads.helpers(20) == 0);
    }

    @Test
    void ofThisJvm_propertyMakesNoSense_refused() {
        String before = System.getProperty("backnorm.threads");
        System.setProperty("backnorm.threads", "0");
        try {
            assertThatThrownBy(Parallel::ofThisJvm)
                    .isExactlyInstanceOf(IllegalStateException.class)
                    .hasMessage("backnorm.threads is 0, expected a number from 1 on");
        } finally {
            if (before == null) {
                System.clearProperty("backnorm.threads");
            } else {
                System.setProperty("backnorm.threads", before);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "-Djava.util.concurrent.ForkJoinPool.common.parallelism=0",
                "-XX:ActiveProcessorCount=1",
                "-XX:ActiveProcessorCount=3"
            })
    void run_anyPool_doesAllAndLeavesFewRequests(String option) {
        assertThat(ChildJvm.run(ManyRuns.class, option, "-Dbacknorm.threads=8").lines())
                .containsExactly("10000 tasks, few requests");
    }

    /** Runs a thousand times, and prints how many tasks were done. */
    static final class ManyRuns {
        public static void main(String[] arguments) {
            Parallel parallel = Parallel.ofThisJvm();
            AtomicInteger done = new AtomicInteger();
            for (int i = 0; i < 1000; i++) {
                parallel.run(parallel.helpers(1e99), 10, task -> done.incrementAndGet());
            }
            boolean few = ForkJoinPool.commonPool().getQueuedSubmissionCount() <= Parallel.MOST_WAITING;
            System.out.println(done + " tasks, " + (few ? "few" : "many") + " requests");
        }
    }

    @Test
    void ofThisJvm_threads_areThoseThatThePropertyAsksFor() {
        String wanted = System.getProperty("backnorm.threads");
        int processors = Runtime.getRuntime().availableProcessors();
        assertThat(Parallel.ofThisJvm().threads())
                .isEqualTo(Parallel.threads(wanted, processors, ForkJoinPool.getCommonPoolParallelism()));
    }

    @Test
    void tasks_anyHelpers_atLeastOneForEachThread() {
        for (int helpers = 0; helpers < 5; helpers++) {
            assertThat(Parallel.tasks(helpers)).isGreaterThan(helpers);
        }
    }
}
