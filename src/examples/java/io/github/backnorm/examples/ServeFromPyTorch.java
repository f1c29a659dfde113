package io.github.backnorm.examples;

import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.PyTorch;
import io.github.backnorm.ReLU;
import io.github.backnorm.Safetensors;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;

/** Serves a network that PyTorch has trained (by digits_pytorch.py), row by row, from several threads. */
public final class ServeFromPyTorch {
    private static final int TEST_ROWS = 300;
    private static final int THREADS = 4;
    private static final int ROUNDS = 100;

    private ServeFromPyTorch() {}

    public static void main(String[] args) throws IOException, InterruptedException, ExecutionException {
        DigitsData test;
        try (InputStream digits = ServeFromPyTorch.class.getResourceAsStream("digits.csv.gz")) {
            DigitsData all = DigitsData.read(digits);
            test = all.select(
                    IntStream.range(all.size() - TEST_ROWS, all.size()).toArray());
        }
        Matrix x = test.pixels();
        Safetensors file = read("digits-pytorch.safetensors");
        Network network = PyTorch.network(file);
        Network served = network.folded();
        Matrix scores = served.infer(x.row(0));

        Matrix logits = read("digits-pytorch-logits.safetensors").state().get("logits");
        double deviation = largest(network.infer(x).minus(logits));

        Network byLayers = new Network(
                PyTorch.linear(file, "0"),
                PyTorch.batchNorm1d(file, "1"),
                new ReLU(),
                PyTorch.linear(file, "3"),
                PyTorch.batchNorm1d(file, "4"),
                new ReLU(),
                PyTorch.linear(file, "6"));

        System.out.println("right in PyTorch: " + file.metadata().get("right"));
        System.out.println("right here: " + test.right(network.infer(x)) + ", folded: " + test.right(served.infer(x)));
        System.out.printf(
                Locale.ROOT,
                "largest deviation from PyTorch's logits: %.0e, folded: %.0e%n",
                deviation,
                largest(served.infer(x).minus(logits)));

        System.out.println("layer by layer: same bits: " + byLayers.infer(x).equals(network.infer(x)));
        int digit = scores.argMaxOfRows()[0];
        System.out.printf(
                Locale.ROOT,
                "first row: a %d with probability %.4f%n",
                digit,
                probabilities(scores).get(0, digit));

        long start = System.nanoTime();
        boolean same = serve(served, x).equals(served.infer(x));
        System.err.printf(
                Locale.ROOT, "%.0f rows per second%n", 1e9 * ROUNDS * TEST_ROWS / (System.nanoTime() - start));
        System.out.println(THREADS + " threads, row by row: same bits as in a batch: " + same);
    }

    /** Refuses scores that stand for no probabilities: argMaxOfRows would give a class all the same. */
    private static Matrix probabilities(Matrix scores) {
        Matrix probabilities = Loss.softmax(scores);
        if (!Double.isFinite(probabilities.sum())) {
            throw new ArithmeticException("the scores contain NaN or +Infinity: " + scores);
        }
        return probabilities;
    }

    /** Each thread infers every fourth row by itself, many times; the rows' results are put together. */
    private static Matrix serve(Network network, Matrix x) throws InterruptedException, ExecutionException {
        ExecutorService threads = Executors.newFixedThreadPool(THREADS);
        try {
            List<Future<?>> work = new ArrayList<>();
            Matrix[] answers = new Matrix[x.rows()];
            for (int t = 0; t < THREADS; t++) {
                int first = t;
                work.add(threads.submit(() -> {
                    for (int round = 0; round < ROUNDS; round++) {
                        for (int row = first; row < x.rows(); row += THREADS) {
                            answers[row] = network.infer(x.row(row));
                        }
                    }
                }));
            }
            for (Future<?> each : work) {
                each.get();
            }
            return Matrix.generate(x.rows(), answers[0].columns(), (row, column) -> answers[row].get(0, column));
        } finally {
            threads.shutdown();
        }
    }

    private static double largest(Matrix difference) {
        double largest = 0;
        for (double entry : difference.toArray()) {
            largest = Math.max(largest, Math.abs(entry));
        }
        return largest;
    }

    private static Safetensors read(String resource) throws IOException {
        try (InputStream in = ServeFromPyTorch.class.getResourceAsStream(resource)) {
            return Safetensors.read(in);
        }
    }
}
