package io.github.backnorm;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * An affine layer with three inputs and a batch norm after it, made for one column of {@link HardColumns}. The network
 * of the two and its {@link Network#folded} form are compared with decimal arithmetic.
 *
 * <p>The affine layer gives the column: {@code x·W + b} equals it up to rounding and up to noise of the size of the
 * running standard deviation. The bias b is a random part of the running mean. If the affine layer is the identity
 * instead, it gives the column exactly, and only the folding rounds.
 */
final class FoldedColumn {
    private static final int INPUTS = 3;
    private static final int MOST_ROWS = 4; // further rows are further sums of the same coefficients
    private static final MathContext PRECISION = new MathContext(80);
    private static final double U = 0x1p-53;

    private final String name;
    private final Matrix x;
    private final Network network;
    private final Affine affine;
    private final BatchNorm norm;
    private final BigDecimal scale; // γ/√(σ² + ε), null where that is a division by 0

    /** A computed number, the exact one, and the bound on their distance. */
    record Entry(String name, double computed, BigDecimal exact, double bound) {
        double error() {
            return Double.isFinite(computed)
                    ? number(new BigDecimal(computed).subtract(exact).abs())
                    : Double.POSITIVE_INFINITY;
        }
    }

    private FoldedColumn(HardColumns.Batch batch, int column, boolean identity) {
        Random random = new Random(column);
        double mean = batch.runningMean().get(0, column);
        double std = Math.sqrt(batch.runningVariance().get(0, column));
        double b = identity ? 0 : mean * random.nextDouble();
        double[] w = identity ? new double[] {1, 0, 0} : new double[] {1.1, -0.7, 0.3};
        Matrix h = batch.h();
        name = batch + ", column " + column;
        x = Matrix.generate(
                Math.min(h.rows(), MOST_ROWS),
                INPUTS,
                (k, i) -> i == 0 ? (h.get(k, column) - b) / w[0] : std * (2 * random.nextDouble() - 1));
        affine = new Affine(Matrix.of(INPUTS, 1, w), Matrix.ofRow(b));
        norm = new BatchNorm(1, batch.epsilon(), 0.1);
        norm.gamma().setValue(Matrix.ofRow(batch.gamma().get(0, column)));
        norm.beta().setValue(Matrix.ofRow(batch.beta().get(0, column)));
        norm.setRunningStatistics(
                Matrix.ofRow(mean), Matrix.ofRow(batch.runningVariance().get(0, column)));
        network = new Network(affine, norm);
        BigDecimal sum = only(norm.runningVariance()).add(new BigDecimal(norm.epsilon()));
        scale = sum.signum() == 0 ? null : only(norm.gamma().value()).divide(sum.sqrt(PRECISION), PRECISION);
    }

    /** The columns for which σ² + ε is above 0 and the folded coefficients are in the range of double. */
    static List<FoldedColumn> of(List<HardColumns.Batch> batches, boolean identity) {
        List<FoldedColumn> columns = new ArrayList<>();
        for (HardColumns.Batch batch : batches) {
            for (int j = 0; j < batch.h().columns(); j++) {
                FoldedColumn column = new FoldedColumn(batch, j, identity);
                if (column.scale != null && column.isInRange()) {
                    columns.add(column);
                }
            }
        }
        return columns;
    }

    private boolean isInRange() {
        return Double.isFinite(number(weight(0))) && Double.isFinite(number(bias()));
    }

    /** W' and b'. The bound is one rounding, and for b' also what is lost where it cancels. */
    List<Entry> coefficients() {
        Affine folded = (Affine) network.folded().layers().get(0);
        List<Entry> entries = new ArrayList<>();
        for (int i = 0; i < INPUTS; i++) {
            entries.add(coefficient(folded.weight().value().get(i, 0), weight(i), 0));
        }
        double size = Math.abs(norm.beta().value().get(0, 0));
        entries.add(coefficient(folded.bias().value().get(0, 0), bias(), 0x1p-99 * size));
        return entries;
    }

    private Entry coefficient(double computed, BigDecimal exact, double lost) {
        double bound = U * (1 + 0x1p-44) * number(exact.abs()) + lost + 8 * Double.MIN_VALUE;
        return new Entry(name, computed, exact, bound);
    }

    /** What the folded network infers. */
    List<Entry> folded() {
        return outputs(network.folded().infer(x));
    }

    /** What the network itself infers, for comparison. It does not promise the bound. */
    List<Entry> unfolded() {
        return outputs(network.infer(x));
    }

    private List<Entry> outputs(Matrix y) {
        BigDecimal[] w = new BigDecimal[INPUTS];
        for (int i = 0; i < INPUTS; i++) {
            w[i] = weight(i);
        }
        BigDecimal b = bias();
        double factor = INPUTS * U / (1 - INPUTS * U) + 3 * U;
        double lost = 0x1p-99 * Math.abs(norm.beta().value().get(0, 0));
        List<Entry> entries = new ArrayList<>();
        for (int k = 0; k < x.rows(); k++) {
            BigDecimal exact = b;
            BigDecimal size = b.abs();
            double underflow = 8 * Double.MIN_VALUE; // of a sum, a product or a coefficient and its low word
            for (int i = 0; i < INPUTS; i++) {
                BigDecimal term = new BigDecimal(x.get(k, i)).multiply(w[i]);
                exact = exact.add(term);
                size = size.add(term.abs());
                underflow += 8 * Double.MIN_VALUE * (1 + Math.abs(x.get(k, i)));
            }
            double bound = factor * number(size) + lost + underflow;
            entries.add(new Entry(name + ", row " + k, y.get(k, 0), exact, bound));
        }
        return entries;
    }

    private BigDecimal weight(int input) {
        return new BigDecimal(affine.weight().value().get(input, 0)).multiply(scale);
    }

    private BigDecimal bias() {
        BigDecimal centered = only(affine.bias().value()).subtract(only(norm.runningMean()));
        return centered.multiply(scale).add(only(norm.beta().value()));
    }

    private static BigDecimal only(Matrix one) {
        return new BigDecimal(one.get(0, 0));
    }

    /** The number to 15 digits. Without rounding, {@code doubleValue} is slow: sums of doubles have many digits. */
    private static double number(BigDecimal number) {
        return number.round(MathContext.DECIMAL64).doubleValue();
    }
}
