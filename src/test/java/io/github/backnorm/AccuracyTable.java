package io.github.backnorm;

import io.github.backnorm.ExactBatchNorm.Value;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Prints the table of docs/numerics.md that compares Backnorm with the usual ways to compute a batch norm in double
 * precision. An entry holds the largest errors of y and of dh, in ulp, over a group of {@link HardColumns}.
 * Results that cancel so far that Backnorm does not promise 2 ulp are left out.
 *
 * <p>The argument is a Python that has PyTorch. Without an argument the table lacks PyTorch's column.
 */
final class AccuracyTable {
    private static final List<HardColumns> GROUPS = List.of(
            HardColumns.ORDINARY,
            HardColumns.MEAN_1E8,
            HardColumns.VARIANCE_1E_20,
            HardColumns.CONSTANT,
            HardColumns.VALUES_1E150,
            HardColumns.VALUES_1E_200,
            HardColumns.TWO_ROWS,
            HardColumns.ROWS_300_MEAN_1E6);

    private AccuracyTable() {}

    /** One column of h and of dy, and the parameters of its batch norm. */
    @SuppressWarnings("ArrayRecordComponent") // nobody compares two of them
    private record Column(double[] h, double[] dy, double epsilon, double gamma, double beta) {}

    /** Computes y and dh of a column. The array holds y first, then dh. */
    private interface Method {
        double[] of(Column column);
    }

    public static void main(String[] args) {
        Map<String, Method> methods = new LinkedHashMap<>();
        if (args.length > 0) {
            methods.put("PyTorch", pyTorch(args[0]));
        }
        methods.put("E[x²] − E[x]²", column -> plain(column, false, 0));
        methods.put("textbook two-pass", column -> plain(column, true, 0));
        methods.put("twice-centered two-pass", column -> plain(column, true, 1));
        methods.put("Backnorm", AccuracyTable::backnorm);
        System.out.println("| columns | " + String.join(" | ", methods.keySet()) + " |");
        System.out.println("|---|" + "---|".repeat(methods.size()));
        for (HardColumns group : GROUPS) {
            StringBuilder row = new StringBuilder("| " + group);
            for (Method method : methods.values()) {
                row.append(" | ").append(worst(group, method));
            }
            System.out.println(row.append(" |"));
        }
    }

    private static String worst(HardColumns group, Method method) {
        double worstY = 0;
        double worstDh = 0;
        for (HardColumns.Batch batch : group.batches()) {
            int n = batch.h().rows();
            for (int j = 0; j < batch.h().columns(); j++) {
                Column column = new Column(
                        Matrices.column(batch.h(), j),
                        Matrices.column(batch.dy(), j),
                        batch.epsilon(),
                        batch.gamma().get(0, j),
                        batch.beta().get(0, j));
                double[] computed = method.of(column);
                ExactBatchNorm exact = new ExactBatchNorm(column.h, column.epsilon);
                Value[] y = exact.y(column.gamma, column.beta);
                Value[] dh = exact.gradients(column.gamma, column.dy).dh();
                for (int k = 0; k < n; k++) {
                    worstY = Math.max(worstY, ulps(n, computed[k], y[k]));
                    worstDh = Math.max(worstDh, ulps(n, computed[n + k], dh[k]));
                }
            }
        }
        return text(worstY) + "/" + text(worstDh);
    }

    /**
     * The error in ulp. It is 0 where |z| &lt; N²·2⁻⁴³·S, as Backnorm does not promise 2 ulp there, and where z is so
     * small that its low word may underflow.
     */
    private static double ulps(int n, double computed, Value exact) {
        double least = Math.max((double) n * n * 0x1p-43 * exact.size(), 0x1p-900);
        return Math.abs(exact.hi()) < least ? 0 : exact.error(computed) / exact.ulp();
    }

    /** The error as the table shows it. From 2⁵² ulp on it is as large as the result, and no digit is right. */
    private static String text(double ulps) {
        if (ulps < 0x1p-50) {
            return "0"; // the exact result is not known more closely
        }
        return !(ulps < 0x1p52) ? "all" : String.format(Locale.ROOT, ulps < 10 ? "%.2g" : "%.0e", ulps);
    }

    private static double[] backnorm(Column column) {
        int n = column.h.length;
        BatchNorm layer = new BatchNorm(1, column.epsilon, 0.1);
        layer.gamma().setValue(Matrix.ofRow(column.gamma));
        layer.beta().setValue(Matrix.ofRow(column.beta));
        double[] y = layer.forward(Matrix.of(n, 1, column.h)).toArray();
        double[] dh = layer.backward(Matrix.of(n, 1, column.dy)).toArray();
        double[] both = Arrays.copyOf(y, 2 * n);
        System.arraycopy(dh, 0, both, n, n);
        return both;
    }

    /**
     * Computes in plain doubles.
     *
     * @param twoPass whether the variance is the mean of the squared deviations; if not, it is E[x²] − E[x]²
     * @param recentered how often the mean of the deviations is subtracted from them
     */
    private static double[] plain(Column column, boolean twoPass, int recentered) {
        int n = column.h.length;
        double mean = Arrays.stream(column.h).reduce(0, Double::sum) / n;
        double[] u = Arrays.stream(column.h).map(entry -> entry - mean).toArray();
        for (int i = 0; i < recentered; i++) {
            double rest = Arrays.stream(u).reduce(0, Double::sum) / n;
            u = Arrays.stream(u).map(entry -> entry - rest).toArray();
        }
        double[] squared = twoPass ? u : column.h;
        double meanSquare = Arrays.stream(squared).map(entry -> entry * entry).reduce(0, Double::sum) / n;
        double v = 1 / Math.sqrt((twoPass ? meanSquare : meanSquare - mean * mean) + column.epsilon);
        double dgamma = 0;
        double dbeta = 0;
        double[] both = new double[2 * n];
        for (int k = 0; k < n; k++) {
            both[k] = column.gamma * (u[k] * v) + column.beta;
            dgamma += column.dy[k] * (u[k] * v);
            dbeta += column.dy[k];
        }
        for (int k = 0; k < n; k++) {
            both[n + k] = column.gamma * v * (column.dy[k] - dbeta / n - u[k] * v * dgamma / n);
        }
        return both;
    }

    private static Method pyTorch(String python) {
        try {
            Process process = new ProcessBuilder(
                            python, "src/test/resources/io/github/backnorm/pytorch/hard_columns.py")
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            PrintWriter to = new PrintWriter(process.outputWriter(StandardCharsets.US_ASCII), true);
            BufferedReader from = process.inputReader(StandardCharsets.US_ASCII);
            return column -> {
                StringBuilder line = new StringBuilder().append(column.h.length);
                double[] constants = {column.epsilon, column.gamma, column.beta};
                for (double[] numbers : List.of(constants, column.h, column.dy)) {
                    for (double number : numbers) {
                        line.append(' ').append(Double.toHexString(number));
                    }
                }
                to.println(line);
                try {
                    return Arrays.stream(from.readLine().split(" "))
                            .mapToDouble(AccuracyTable::parse)
                            .toArray();
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            };
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A number as Python writes it. */
    private static double parse(String text) {
        return switch (text) {
            case "nan" -> Double.NaN;
            case "inf" -> Double.POSITIVE_INFINITY;
            case "-inf" -> Double.NEGATIVE_INFINITY;
            default -> Double.parseDouble(text);
        };
    }
}
