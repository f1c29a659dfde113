package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.Parameter;
import io.github.backnorm.PyTorch;
import io.github.backnorm.ReLU;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.LongStream;
import me.tongfei.progressbar.ProgressBar;

/**
 * Learns from a table to tell two classes apart: benign tumors from malignant ones.
 *
 * <p>Arguments: a seed (1) or a range of seeds (1-10), and a CSV file with a header and a column {@value #LABEL} of 0
 * and 1 (the one that comes with the examples). One seed saves the model for {@link ServeTabular}; a range prints a
 * table of the results instead.
 */
public final class Tabular {
    static final String LABEL = "benign";
    static final String COLUMNS = "columns"; // an entry of the model's file, their names
    static final Path MODEL = Path.of("target", "tabular.safetensors");
    private static final int EPOCHS = 60;
    private static final int PATIENCE = 10; // epochs without a better validation loss
    private static final int BATCH_SIZE = 32;
    private static final double RATE = 0.01;
    private static final double WEIGHT_DECAY = 0.01;
    private static final double LARGEST_NORM = 1;
    private static final int MOST_SEEDS = 1000;
    private static final int LEAST_ROWS = 2 * BATCH_SIZE; // 60 % of them fill a mini-batch

    /** Rows of features, and of each the class that is to be learned. */
    record Rows(Matrix x, Matrix target) {
        Rows select(int... rows) {
            return new Rows(x.selectRows(rows), target.selectRows(rows));
        }
    }

    /** All rows in random order: 60 % to learn from, 20 % to choose the best epoch by, 20 % to test. */
    record Split(Rows training, Rows validation, Rows test) {
        static Split of(Rows all, Random random) {
            int[] order = shuffled(all.x.rows(), random);
            int a = (int) Math.round(0.6 * order.length);
            int b = (int) Math.round(0.8 * order.length);
            return new Split(
                    all.select(Arrays.copyOfRange(order, 0, a)),
                    all.select(Arrays.copyOfRange(order, a, b)),
                    all.select(Arrays.copyOfRange(order, b, order.length)));
        }
    }

    /** A trained network, and what it makes of the test rows. */
    record Run(long seed, int epochs, int bestEpoch, double validationLoss, Network network, Result test) {}

    /** At [i, j] how many rows of class i were taken for j; the part that was right; area under the ROC curve; loss. */
    record Result(Matrix confusion, double accuracy, double auc, double loss) {}

    private Tabular() {}

    public static void main(String[] args) {
        System.exit(run(args, EPOCHS, MODEL, System.out, System.err));
    }

    /** Returns the exit code. */
    static int run(String[] args, int epochs, Path model, PrintStream out, PrintStream err) {
        String seeds = args.length > 0 ? args[0] : "1";
        try {
            long[] numbers = numbers(seeds);
            TabularData data = TabularData.read(args.length > 1 ? Path.of(args[1]) : TabularData.example());
            data.requireRows(LEAST_ROWS);
            List<String> features =
                    data.names().stream().filter(name -> !name.equals(LABEL)).toList();
            List<Run> runs = runs(new Rows(data.columns(features), data.labels(LABEL)), numbers, epochs);
            print(runs, out);
            if (runs.size() == 1) {
                Files.createDirectories(model.toAbsolutePath().getParent());
                PyTorch.stateDict(runs.get(0).network)
                        .withMetadata(COLUMNS, String.join("\n", features))
                        .writeTo(model);
                out.println("saved as " + model);
            }
            return 0;
        } catch (IOException e) {
            err.println("Tabular: " + e.getMessage());
        } catch (NumberFormatException e) {
            err.println("Tabular: seed is " + seeds + ", expected a whole number, or two as in 1-10");
        } catch (IllegalArgumentException e) {
            err.println("Tabular: " + e.getMessage()); // a column whose variance is too large, for one
        }
        return 1;
    }

    /** One seed, or all from the first to the last. */
    private static long[] numbers(String seeds) {
        Matcher range = Pattern.compile("(\\d+)-(\\d+)").matcher(seeds);
        if (!range.matches()) {
            return new long[] {Long.parseLong(seeds)};
        }
        long[] numbers = LongStream.rangeClosed(Long.parseLong(range.group(1)), Long.parseLong(range.group(2)))
                .limit(MOST_SEEDS + 1)
                .toArray();
        if (numbers.length == 0 || numbers.length > MOST_SEEDS) {
            throw new NumberFormatException(seeds);
        }
        return numbers;
    }

    private static List<Run> runs(Rows rows, long[] seeds, int epochs) {
        List<Run> runs = new ArrayList<>();
        try (ProgressBar progress = Progress.bar("training", (long) seeds.length * epochs)) {
            for (long seed : seeds) {
                runs.add(train(rows, seed, epochs, progress));
                progress.stepTo((long) runs.size() * epochs);
            }
        }
        return runs;
    }

    static Network newNetwork(int features, Random random) {
        return new Network(
                new BatchNorm(features), // scales the columns, and travels with the model
                new Affine(features, 32, random).withoutBias(), // the batch norm has one
                new BatchNorm(32),
                new ReLU(),
                new Affine(32, 16, random).withoutBias(),
                new BatchNorm(16),
                new ReLU(),
                Affine.outputLayer(16, 1, random));
    }

    static Run train(Rows rows, long seed, int epochs, ProgressBar progress) {
        Random random = new Random(seed); // draws the split, the first weights and the order of the batches
        Split split = Split.of(rows, random);
        Network network = newNetwork(split.training.x.columns(), random);
        List<Parameter> weights = network.parameters().stream()
                .filter(parameter -> parameter.name().equals("weight"))
                .toList();
        List<Parameter> others = network.parameters().stream()
                .filter(parameter -> !parameter.name().equals("weight"))
                .toList();
        Optimizer decaying = Optimizer.adam(RATE).withWeightDecay(WEIGHT_DECAY);
        Optimizer plain = Optimizer.adam(RATE);

        double leastLoss = Double.POSITIVE_INFINITY;
        Map<String, Matrix> best = network.state();
        int bestEpoch = 0;
        int epoch = 0;
        while (epoch < epochs && epoch - bestEpoch < PATIENCE) {
            double rate = RATE * (1 - (double) epoch / epochs);
            decaying.setRate(rate);
            plain.setRate(rate);
            for (Rows batch : batches(split.training, random)) {
                Loss loss = Loss.binaryCrossEntropy(network.forward(batch.x), batch.target);
                network.backwardParameters(loss.gradient());
                Parameter.clipGradients(network.parameters(), LARGEST_NORM);
                decaying.step(weights);
                plain.step(others);
            }
            epoch++;
            double loss = loss(network, split.validation);
            if (loss < leastLoss) {
                leastLoss = loss;
                best = network.state();
                bestEpoch = epoch;
            }
            progress.step();
        }
        network.restore(best);
        return new Run(seed, epoch, bestEpoch, leastLoss, network, test(network, split.test));
    }

    /** The rows in random order, in mini-batches; a row left over by itself has no variance and waits for its turn. */
    private static List<Rows> batches(Rows rows, Random random) {
        int[] order = shuffled(rows.x.rows(), random);
        List<Rows> batches = new ArrayList<>();
        for (int start = 0; start < order.length - 1; start += BATCH_SIZE) {
            batches.add(rows.select(Arrays.copyOfRange(order, start, Math.min(start + BATCH_SIZE, order.length))));
        }
        return batches;
    }

    /** The numbers below n in random order (Fisher–Yates). */
    static int[] shuffled(int n, Random random) {
        int[] order = new int[n];
        for (int i = 0; i < n; i++) {
            int j = random.nextInt(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        return order;
    }

    static double loss(Network network, Rows rows) {
        return Loss.binaryCrossEntropy(network.infer(rows.x), rows.target).value();
    }

    private static Result test(Network network, Rows rows) {
        double[] scores = network.infer(rows.x).toArray();
        double[] targets = rows.target.toArray();
        double[][] counts = new double[2][2];
        for (int i = 0; i < scores.length; i++) {
            counts[(int) targets[i]][scores[i] > 0 ? 1 : 0]++; // a score of 0 is a probability of one half
        }
        double accuracy = (counts[0][0] + counts[1][1]) / scores.length;
        return new Result(Matrix.ofRows(counts), accuracy, auc(scores, targets), loss(network, rows));
    }

    /**
     * The area under the ROC curve: of all pairs of a row of class 1 and one of class 0, the part in which the first
     * has the higher score; equal scores count half. NaN if a class has no row.
     */
    static double auc(double[] scores, double[] targets) {
        Map<Double, int[]> countsOf = new TreeMap<>(); // by score, how many of each class
        for (int i = 0; i < scores.length; i++) {
            countsOf.computeIfAbsent(scores[i], score -> new int[2])[(int) targets[i]]++;
        }
        double pairs = 0;
        double zeros = 0;
        double ones = 0;
        for (int[] counts : countsOf.values()) {
            pairs += counts[1] * (zeros + counts[0] / 2.0);
            zeros += counts[0];
            ones += counts[1];
        }
        return pairs / (zeros * ones);
    }

    private static void print(List<Run> runs, PrintStream out) {
        print(out, "seed  epochs  best  accuracy     AUC  cross-entropy%n");
        for (Run run : runs) {
            print(out, "%4d  %6d  %4d  ", run.seed, run.epochs, run.bestEpoch);
            print(out, "%8.4f  %.4f  %13.4f%n", run.test.accuracy, run.test.auc, run.test.loss);
        }
        if (runs.size() == 1) {
            for (int i = 0; i < 2; i++) {
                Matrix counts = runs.get(0).test.confusion.row(i);
                print(out, "of %s %d, taken for 0: %.0f, for 1: %.0f%n", LABEL, i, counts.get(0, 0), counts.get(0, 1));
            }
        } else {
            printMean("accuracy", runs, run -> run.test.accuracy, out);
            printMean("AUC", runs, run -> run.test.auc, out);
            printMean("cross-entropy", runs, run -> run.test.loss, out);
        }
    }

    private static void printMean(String what, List<Run> runs, ToDoubleFunction<Run> value, PrintStream out) {
        DoubleSummaryStatistics all = runs.stream().mapToDouble(value).summaryStatistics();
        print(out, "mean %s: %.4f (%.4f to %.4f)%n", what, all.getAverage(), all.getMin(), all.getMax());
    }

    private static void print(PrintStream out, String format, Object... values) {
        out.printf(Locale.ROOT, format, values);
    }
}
