package io.github.backnorm.examples;

import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.PyTorch;
import io.github.backnorm.Safetensors;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * Serves the model that {@link Tabular} has saved, row by row, from several threads, and measures how long a row takes.
 *
 * <p>Arguments: the model's file (that of {@code Tabular}), and a CSV file with the columns that the model was trained
 * on, in any order (the one that comes with the examples).
 */
public final class ServeTabular {
    private static final int THREADS = 4;
    private static final int ROUNDS = 200;

    private ServeTabular() {}

    public static void main(String[] args) throws InterruptedException, ExecutionException {
        System.exit(run(args, ROUNDS, System.out, System.err));
    }

    /** Returns the exit code. */
    static int run(String[] args, int rounds, PrintStream out, PrintStream err)
            throws InterruptedException, ExecutionException {
        Path model = args.length > 0 ? Path.of(args[0]) : Tabular.MODEL;
        Path csv = args.length > 1 ? Path.of(args[1]) : TabularData.example();
        try {
            Safetensors file = Safetensors.read(model);
            String columns = file.metadata().get(Tabular.COLUMNS);
            if (columns == null) {
                throw new IOException(model + " has no entry " + Tabular.COLUMNS + ", expected a file of Tabular");
            }
            Network network = PyTorch.network(file).folded();
            TabularData data = TabularData.read(csv);
            data.requireRows(1);
            Matrix x = data.columns(List.of(columns.split("\n")));

            long[][] nanoseconds = new long[THREADS][rounds * x.rows()];
            serve(network, x, nanoseconds); // until the JVM has compiled what runs
            boolean sameBits = serve(network, x, nanoseconds);
            print(nanoseconds, out);
            out.println("same bits as in one batch: " + sameBits);
            return 0;
        } catch (NoSuchFileException e) {
            err.println("ServeTabular: there is no " + e.getMessage() + "; run Tabular first");
        } catch (IOException | IllegalArgumentException e) {
            err.println("ServeTabular: " + e.getMessage());
        }
        return 1;
    }

    /** For each row, how likely it is of class 1. */
    private static Matrix probabilities(Network network, Matrix x) {
        return Loss.sigmoid(network.infer(x));
    }

    /** Serves rows from one thread for each array; returns whether all results had the bits of one batch. */
    private static boolean serve(Network network, Matrix x, long[]... nanoseconds)
            throws InterruptedException, ExecutionException {
        Matrix batch = probabilities(network, x);
        ExecutorService threads = Executors.newFixedThreadPool(nanoseconds.length);
        try {
            List<Callable<Boolean>> work = new ArrayList<>();
            for (long[] ofThread : nanoseconds) {
                work.add(() -> serve(network, x, batch, ofThread));
            }
            boolean sameBits = true;
            for (Future<Boolean> each : threads.invokeAll(work)) {
                sameBits &= each.get();
            }
            return sameBits;
        } finally {
            threads.shutdown();
        }
    }

    private static boolean serve(Network network, Matrix x, Matrix batch, long[] nanoseconds) {
        boolean sameBits = true;
        for (int i = 0; i < nanoseconds.length; i++) {
            Matrix row = x.row(i % x.rows());
            long start = System.nanoTime();
            Matrix y = probabilities(network, row);
            nanoseconds[i] = System.nanoTime() - start;
            sameBits &= y.equals(batch.row(i % x.rows()));
        }
        return sameBits;
    }

    private static void print(long[][] nanoseconds, PrintStream out) {
        long[] sorted =
                Stream.of(nanoseconds).flatMapToLong(LongStream::of).sorted().toArray();
        double median = sorted[sorted.length / 2] / 1e3;
        double high = sorted[(int) (0.99 * sorted.length)] / 1e3;
        out.printf(Locale.ROOT, "%d rows, each inferred by itself, from %d threads%n", sorted.length, THREADS);
        out.printf(
                Locale.ROOT, "from a row to its probability: median %.1f µs, 99th percentile %.1f µs%n", median, high);
    }
}
