package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Layer;
import io.github.backnorm.Loss;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.ReLU;
import java.awt.Color;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.function.ToDoubleFunction;
import me.tongfei.progressbar.ProgressBar;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.Styler.LegendLayout;

/**
 * Draws how well a deep network learns to read handwritten digits at various learning rates, with batch norm and
 * without: mean and range over ten seeds.
 *
 * <p>A seed decides the split, the first weights and the order of the batches; they are the same with batch norm and
 * without, and for every rate.
 */
public final class LearningRates {
    private static final int EPOCHS = 10;
    private static final int SEEDS = 10;
    private static final int BATCH_SIZE = 64;
    private static final int DEPTH = 6;
    private static final int HIDDEN = 100;
    private static final double[] RATES = {0.01, 0.03, 0.1, 0.3, 1, 3, 10};
    private static final int VALIDATION_ROWS = 300;
    private static final int TEST_ROWS = 300;

    /** How much of the validation and the test rows a rate's networks read right, in percent, over the seeds. */
    private record Result(double rate, DoubleSummaryStatistics validation, DoubleSummaryStatistics test) {}

    private final DigitsData digits;
    private final int seeds;
    private final int epochs;

    private LearningRates(DigitsData digits, int seeds, int epochs) {
        this.digits = digits;
        this.seeds = seeds;
        this.epochs = epochs;
    }

    public static void main(String[] args) throws IOException {
        run(SEEDS, EPOCHS, Path.of("target", "learning-rates.png"), System.out);
    }

    static void run(int seeds, int epochs, Path plot, PrintStream out) throws IOException {
        try (InputStream file = LearningRates.class.getResourceAsStream("digits.csv.gz")) {
            new LearningRates(DigitsData.read(file), seeds, epochs).compare(plot, out);
        }
    }

    private void compare(Path plot, PrintStream out) throws IOException {
        List<Result> with;
        List<Result> without;
        try (ProgressBar progress = Progress.bar("training", 2L * RATES.length * seeds)) {
            with = results(true, progress);
            without = results(false, progress);
        }
        print(out, "with batch norm", with);
        print(out, "without batch norm", without);
        XYChart chart = new XYChartBuilder()
                .width(Charts.WIDTH)
                .height(Charts.HEIGHT)
                .title("Digits read right after " + epochs + " epochs, in %")
                .xAxisTitle("learning rate")
                .build();
        Charts.style(chart.getStyler());
        chart.getStyler()
                .setXAxisLogarithmic(true)
                .setYAxisMin(0.0)
                .setYAxisMax(100.0)
                .setYAxisTickMarkSpacingHint(80)
                .setPlotGridVerticalLinesVisible(false)
                .setLegendLayout(LegendLayout.Horizontal)
                .setLegendPadding(20);
        draw(chart, "without batch norm", Charts.ORANGE, without);
        draw(chart, "with batch norm", Charts.BLUE, with);
        Charts.save(chart, plot);
    }

    private List<Result> results(boolean batchNorm, ProgressBar progress) {
        List<Result> results = new ArrayList<>();
        for (double rate : RATES) {
            Result result = new Result(rate, new DoubleSummaryStatistics(), new DoubleSummaryStatistics());
            for (int seed = 1; seed <= seeds; seed++) {
                Random random = new Random(seed);
                int[] rows = Tabular.shuffled(digits.size(), random);
                int a = rows.length - VALIDATION_ROWS - TEST_ROWS;
                int b = rows.length - TEST_ROWS;
                Network network = network(batchNorm, random);
                train(network, digits.select(Arrays.copyOfRange(rows, 0, a)), rate, random);
                result.validation.accept(accuracy(network, digits.select(Arrays.copyOfRange(rows, a, b))));
                result.test.accept(accuracy(network, digits.select(Arrays.copyOfRange(rows, b, rows.length))));
                progress.step();
            }
            results.add(result);
        }
        return results;
    }

    private static Network network(boolean batchNorm, Random random) {
        List<Layer> layers = new ArrayList<>();
        for (int i = 0; i < DEPTH; i++) {
            layers.add(new Affine(i == 0 ? DigitsData.PIXELS : HIDDEN, HIDDEN, random));
            if (batchNorm) {
                layers.add(new BatchNorm(HIDDEN));
            }
            layers.add(new ReLU());
        }
        layers.add(Affine.outputLayer(HIDDEN, DigitsData.CLASSES, random));
        return new Network(layers.toArray(Layer[]::new));
    }

    private void train(Network network, DigitsData training, double rate, Random random) {
        Optimizer optimizer = Optimizer.sgd(rate);
        for (int epoch = 0; epoch < epochs; epoch++) {
            int[] order = Tabular.shuffled(training.size(), random);
            for (int start = 0; start < order.length; start += BATCH_SIZE) {
                int[] rows = Arrays.copyOfRange(order, start, Math.min(start + BATCH_SIZE, order.length));
                DigitsData batch = training.select(rows);
                Loss loss = Loss.softmaxCrossEntropy(network.forward(batch.pixels()), batch.labels());
                if (!Double.isFinite(loss.value())) {
                    return; // overflow: at this rate, there is nothing left to train
                }
                network.backwardParameters(loss.gradient());
                optimizer.step(network.parameters());
            }
        }
    }

    private static double accuracy(Network network, DigitsData data) {
        return 100.0 * data.right(network.infer(data.pixels())) / data.size();
    }

    private static void draw(XYChart chart, String name, Color color, List<Result> results) {
        Charts.band(
                chart,
                name,
                color,
                values(results, Result::rate),
                values(results, result -> result.test.getMin()),
                values(results, result -> result.test.getAverage()),
                values(results, result -> result.test.getMax()));
    }

    private static double[] values(List<Result> results, ToDoubleFunction<Result> value) {
        return results.stream().mapToDouble(value).toArray();
    }

    private static void print(PrintStream out, String name, List<Result> results) {
        out.println(name);
        for (Result result : results) {
            print(out, "  rate %-5s %5.1f %% of the test rows", result.rate, result.test.getAverage());
            print(out, " (%.1f to %.1f %%)%n", result.test.getMin(), result.test.getMax());
        }
        Result best = results.stream()
                .max(Comparator.comparingDouble(result -> result.validation.getAverage()))
                .orElseThrow();
        print(out, "  best on the validation rows: rate %s, %.1f %%", best.rate, best.validation.getAverage());
        print(out, " (%.1f %% of the test rows)%n", best.test.getAverage());
    }

    private static void print(PrintStream out, String format, Object... values) {
        out.printf(Locale.ROOT, format, values);
    }
}
