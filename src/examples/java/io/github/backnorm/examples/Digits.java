package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Loss;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.ReLU;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.function.Function;
import me.tongfei.progressbar.ProgressBar;

/**
 * Learns to read handwritten digits, with batch norm and without.
 *
 * <p>Arguments: the seed (1), and a file to read the digits from (those that come with the examples). Each of the two
 * networks is trained once for each learning rate of a small grid; the rate whose network does best on the validation
 * rows is kept. The test rows are looked at once, at the end.
 */
public final class Digits {
    private static final int EPOCHS = 15;
    private static final int BATCH_SIZE = 16;
    private static final int HIDDEN = 100;
    private static final double[] RATES = {0.03, 0.1, 0.3, 1.0};
    private static final int VALIDATION_ROWS = 300;
    private static final int TEST_ROWS = 300;

    /** What was seen after an epoch: mean loss over its mini-batches, accuracy on the validation rows. */
    record Epoch(double loss, double accuracy) {}

    /** A trained network and its way there. */
    record Run(Network network, double rate, List<Epoch> epochs) {
        Epoch last() {
            return epochs.get(epochs.size() - 1);
        }
    }

    private final DigitsData training;
    private final DigitsData validation;
    private final DigitsData test;
    private final long seed;
    private final int epochs;

    private Digits(DigitsData digits, long seed, int epochs) {
        int[] rows = Tabular.shuffled(digits.size(), new Random(seed));
        int validationStart = rows.length - VALIDATION_ROWS - TEST_ROWS;
        int testStart = rows.length - TEST_ROWS;
        this.training = digits.select(Arrays.copyOfRange(rows, 0, validationStart));
        this.validation = digits.select(Arrays.copyOfRange(rows, validationStart, testStart));
        this.test = digits.select(Arrays.copyOfRange(rows, testStart, rows.length));
        this.seed = seed;
        this.epochs = epochs;
    }

    public static void main(String[] args) {
        System.exit(run(args, EPOCHS, System.out, System.err));
    }

    /** Returns the exit code. */
    static int run(String[] args, int epochs, PrintStream out, PrintStream err) {
        DigitsData digits;
        long seed;
        try (InputStream file =
                args.length > 1 ? new FileInputStream(args[1]) : Digits.class.getResourceAsStream("digits.csv.gz")) {
            seed = args.length > 0 ? Long.parseLong(args[0]) : 1;
            digits = DigitsData.read(file);
        } catch (IOException e) {
            err.println("Digits: cannot read the digits: " + e.getMessage());
            return 1;
        } catch (NumberFormatException e) {
            err.println("Digits: seed is " + args[0] + ", expected a whole number");
            return 1;
        }
        int least = VALIDATION_ROWS + TEST_ROWS + BATCH_SIZE;
        if (digits.size() < least) {
            err.println("Digits: cannot read the digits: there are " + digits.size() + ", expected at least " + least);
            return 1;
        }
        new Digits(digits, seed, epochs).compare(out);
        return 0;
    }

    private void compare(PrintStream out) {
        Run with;
        Run without;
        try (ProgressBar progress = Progress.bar("training", 2L * RATES.length * epochs)) {
            with = best(Digits::withBatchNorm, progress);
            without = best(Digits::withoutBatchNorm, progress);
        }
        print(out, "learning rate with batch norm: %s, without: %s%n", with.rate, without.rate);
        for (int i = 0; i < epochs; i++) {
            Epoch a = with.epochs.get(i);
            Epoch b = without.epochs.get(i);
            print(out, "epoch %2d  with batch norm: loss %.4f, accuracy %5.1f %%", i + 1, a.loss, 100 * a.accuracy);
            print(out, "  without: loss %.4f, accuracy %5.1f %%%n", b.loss, 100 * b.accuracy);
        }
        double accuracyWith = accuracy(with.network, test);
        double accuracyWithout = accuracy(without.network, test);
        print(
                out,
                "test accuracy with batch norm: %.1f %%, without: %.1f %%%n",
                100 * accuracyWith,
                100 * accuracyWithout);
    }

    static Network withBatchNorm(Random random) {
        return new Network(
                new Affine(DigitsData.PIXELS, HIDDEN, random),
                new BatchNorm(HIDDEN),
                new ReLU(),
                new Affine(HIDDEN, HIDDEN, random),
                new BatchNorm(HIDDEN),
                new ReLU(),
                Affine.outputLayer(HIDDEN, DigitsData.CLASSES, random));
    }

    static Network withoutBatchNorm(Random random) {
        return new Network(
                new Affine(DigitsData.PIXELS, HIDDEN, random),
                new ReLU(),
                new Affine(HIDDEN, HIDDEN, random),
                new ReLU(),
                Affine.outputLayer(HIDDEN, DigitsData.CLASSES, random));
    }

    /** Trains a fresh network for each rate; the validation rows decide. */
    private Run best(Function<Random, Network> architecture, ProgressBar progress) {
        List<Run> runs = new ArrayList<>();
        for (double rate : RATES) {
            Random random = new Random(seed);
            runs.add(train(architecture.apply(random), rate, random, progress));
        }
        return runs.stream()
                .max(Comparator.comparingDouble(run -> run.last().accuracy()))
                .orElseThrow();
    }

    private Run train(Network network, double rate, Random random, ProgressBar progress) {
        Optimizer optimizer = Optimizer.sgd(rate);
        List<Epoch> history = new ArrayList<>();
        for (int epoch = 0; epoch < epochs; epoch++) {
            int[] order = Tabular.shuffled(training.size(), random);
            double sum = 0;
            int batches = 0;
            for (int start = 0; start < order.length; start += BATCH_SIZE) {
                int[] rows = Arrays.copyOfRange(order, start, Math.min(start + BATCH_SIZE, order.length));
                if (rows.length == 1) {
                    continue; // one row has no variance, and batch norm refuses it; shuffling gives it its turn
                }
                DigitsData batch = training.select(rows);
                Loss loss = Loss.softmaxCrossEntropy(network.forward(batch.pixels()), batch.labels());
                network.backwardParameters(loss.gradient());
                optimizer.step(network.parameters());
                sum += loss.value();
                batches++;
            }
            history.add(new Epoch(sum / batches, accuracy(network, validation)));
            progress.step();
        }
        return new Run(network, rate, history);
    }

    private static double accuracy(Network network, DigitsData data) {
        return (double) data.right(network.infer(data.pixels())) / data.size();
    }

    private static void print(PrintStream out, String format, Object... values) {
        out.printf(Locale.ROOT, format, values);
    }
}
