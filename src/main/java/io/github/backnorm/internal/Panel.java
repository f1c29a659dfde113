package io.github.backnorm.internal;

import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;

/**
 * Batch norm of some neighboring columns by the statistics of the batch, forward and backward. Numbers in parentheses
 * are those of the equations in {@code docs/derivation.md}. {@code docs/numerics.md} proves the bound on the error.
 *
 * <p>Pivot. A column is shifted by a pivot c for which every {@code d = h − c} is exact. c is 0, or the rounded mean
 * where {@code μ² > 5·Σu²}: there every entry is within a factor of two of the mean. The mean is {@code μ = c + r} with
 * the remainder {@code r = Σd/N}. So errors are relative to the spread of the column, not to its mean.
 *
 * <p>One pass. The deviation from the mean, {@code u = h − μ = d − r}, is never formed. The loops take d instead, and r
 * goes into the quantities of the column:
 * <pre>{@code
 * Σu²   = Σd² − r·Σd
 * Σdy·u = Σdy·d − r·Σdy
 * y     = f·d + (β − f·r)                       f = γ·v
 * dh    = f·dy + g·d + (−f·dβ/N − g·r)          g = −f·v·dγ/N
 * }</pre>
 * So each entry is read once for both sums. Since {@code r² ≤ 5N·σ²}, cancellation costs at most a factor of 5N + 1.
 *
 * <p>Two words. {@link Kernels} carry the rounding errors of products and sums in a second word, and round once, in
 * their last addition. The quantities of a column are {@link DoubleDoubles}.
 *
 * <p>Scale. Nothing is scaled here. A column in which something may underflow or overflow, or is not finite, is left to
 * {@link ScaledColumn}.
 */
final class Panel extends Quantities {
    /** The most columns of a batch that is too narrow for loops along its rows. */
    static final int NARROW = 32;

    /** Columns of a row that is made of several: their quantities stay in the first-level cache. */
    private static final int WIDE = 256;

    /** A kernel that computes each entry by itself, for {@code rows} rows from i on. */
    @FunctionalInterface
    private interface EntryKernel {
        void run(Quantities quantities, int i, int rows);
    }

    private final Kernels kernels;
    private final double epsilon;

    /** The rows at hand: the batch, or a block of it. */
    private int rows;

    /** N, the number of rows of the batch. */
    private double n;

    /** r = Σd/N. */
    private final DoubleDoubles r;

    /** Σu² = N·σ². */
    private final DoubleDoubles sumUSquare;

    /** v = (σ² + ε)^(−1/2). */
    private final DoubleDoubles inverseStd;

    /** Σdy·ĥ = dγ. */
    private final DoubleDoubles sumDyXHat;

    /** β − f·r. */
    private final DoubleDoubles yOffset;

    /** −f·dβ/N − g·r. */
    private final DoubleDoubles dhOffset;

    /** A bound on the magnitude of what is added to an offset. */
    private final double[] bound;

    /** μ = c + r. */
    private final DoubleDoubles mean;

    /** Σu²/(N − 1). */
    private final DoubleDoubles unbiasedVariance;

    /** (1 − momentum)·running, while a running statistic is moved. */
    private final DoubleDoubles kept;

    /** momentum·batch, meanwhile. */
    private final DoubleDoubles taken;

    private final double[] zeros;

    /** How many rows the kernels take as one, where each entry is computed by itself. */
    private final int rowsAsOne;

    /** The quantities of these rows as one. */
    private final Quantities repeated;

    /** The columns that are not for the kernels, by index in the panel. */
    private final Map<Integer, ScaledColumn> scaled = new TreeMap<>();

    /** The gradients of these columns, and of those whose dy is not for the kernels. */
    private final Map<Integer, ScaledColumn.Gradients> scaledGradients = new TreeMap<>();

    /**
     * For {@code width} columns, at least one, from {@code from} on, in arrays whose rows have {@code rowStep} entries.
     */
    Panel(Kernels kernels, double epsilon, int from, int width, int rowStep) {
        super(from, width, rowStep);
        this.kernels = kernels;
        this.epsilon = epsilon;
        this.r = DoubleDoubles.zeros(width);
        this.sumUSquare = DoubleDoubles.zeros(width);
        this.inverseStd = DoubleDoubles.zeros(width);
        this.sumDyXHat = DoubleDoubles.zeros(width);
        this.yOffset = DoubleDoubles.zeros(width);
        this.dhOffset = DoubleDoubles.zeros(width);
        this.bound = new double[width];
        this.mean = DoubleDoubles.zeros(width);
        this.unbiasedVariance = DoubleDoubles.zeros(width);
        this.kept = DoubleDoubles.zeros(width);
        this.taken = DoubleDoubles.zeros(width);
        this.zeros = new double[width];
        this.rowsAsOne = width == rowStep && width <= NARROW ? WIDE / width : 1;
        this.repeated = rowsAsOne > 1 ? new Quantities(0, rowsAsOne * width, rowsAsOne * width) : this;
    }

    /** {@code y = max(γ·ĥ + β, least)} for the first rows of h. */
    void forward(int rows, double[] h, double[] gamma, double[] beta, double least, double[] y) {
        begin(rows, h);
        setMoments(rows);
        if (movePivots()) {
            sumDeviations(h);
            setMoments(rows);
        }
        normalize(h, gamma, beta, least, y);
        chooseScaled(h, gamma, beta);
        scaled.forEach((j, column) -> setColumn(y, j, column.forward(gamma[from + j], beta[from + j], least)));
    }

    /** Sets Σd and Σd² of the first rows of h, with the pivot 0. */
    void begin(int rows, double[] h) {
        this.rows = rows;
        Arrays.fill(pivot, 0);
        sumDeviations(h);
    }

    /** Sets Σd and Σd². */
    void sumDeviations(double[] h) {
        sumD.setZero();
        sumDSquare.setZero();
        for (int i = 0; i < rows; i += BLOCK) {
            kernels.sumDeviations(this, i, Math.min(BLOCK, rows - i), h);
            sumD.carry();
            sumDSquare.carry();
        }
        markUnderflow(sumDSquare.hi(), h, pivot);
    }

    /** Makes a sum of squares that is 0, though not all of its terms are, the smallest double. */
    private void markUnderflow(double[] squares, double[] matrix, double[] centers) {
        for (int j = 0; j < width; j++) {
            if (squares[j] == 0 && !isConstant(matrix, j, centers[j])) {
                squares[j] = Double.MIN_VALUE;
            }
        }
    }

    /** Sets r (2) and Σu² (3) from the sums over n rows. */
    void setMoments(double n) {
        this.n = n;
        r.set(sumD).divide(n); // (2)
        sumUSquare.set(sumDSquare).subtractProduct(r, sumD); // (3)
    }

    /** {@code y = max(γ·ĥ + β, least)} for the rows at hand, by the moments of the batch. */
    void normalize(double[] h, double[] gamma, double[] beta, double least, double[] y) {
        inverseStd.set(sumUSquare).divide(n).add(epsilon).inverseSqrt(); // (9)
        factor.set(gamma, from).multiply(inverseStd); // f = γ·v
        yOffset.set(beta, from).subtractProduct(factor, r); // β − f·r
        boundY();
        yStart.setAnchored(yOffset, bound, yAnchor);
        forEachEntry((quantities, i, some) -> kernels.normalize(quantities, i, some, h, least, y)); // (4), (5)
    }

    /** Runs a kernel over the rows at hand; in a narrow batch, rows lie one behind the other as one. */
    private void forEachEntry(EntryKernel kernel) {
        int wide = rows / rowsAsOne;
        if (rowsAsOne > 1 && wide > 0) {
            repeated.repeat(this);
        }
        kernel.run(repeated, 0, wide);
        int done = wide * rowsAsOne;
        if (done < rows) {
            kernel.run(this, done, rows - done);
        }
    }

    /**
     * Makes the mean the pivot where μ² &gt; 5·Σu². Since u² ≤ Σu², all entries are from 0.55μ to 1.45μ there.
     *
     * @return whether there is such a column
     */
    boolean movePivots() {
        boolean moved = false;
        for (int j = 0; j < width; j++) {
            double roundedMean = r.hi()[j]; // the pivot is 0
            if (roundedMean * roundedMean > 5 * sumUSquare.hi()[j]) {
                pivot[j] = roundedMean;
                moved = true;
            }
        }
        return moved;
    }

    /** Bounds f·d. */
    private void boundY() {
        for (int j = 0; j < width; j++) {
            bound[j] = Math.abs(factor.hi()[j]) * radius(j);
        }
    }

    /** Bounds f·dy + g·d. */
    private void boundDh() {
        for (int j = 0; j < width; j++) {
            bound[j] = Math.abs(factor.hi()[j]) * Math.sqrt(sumDySquare[j]) + Math.abs(slope.hi()[j]) * radius(j);
        }
    }

    /** A bound on |d| in a column. */
    private double radius(int j) {
        return Math.sqrt(sumUSquare.hi()[j]) + Math.abs(r.hi()[j]);
    }

    private void chooseScaled(double[] h, double[] gamma, double[] beta) {
        scaled.clear();
        for (int j = 0; j < width; j++) {
            if (!isForKernels(j, gamma, beta)) {
                scaled.put(j, new ScaledColumn(column(h, j), epsilon));
            }
        }
    }

    /** Whether nothing in a column can have underflowed or overflowed, nor will on the way to y. */
    private boolean isForKernels(int j, double[] gamma, double[] beta) {
        return isModerateOrZero(sumDSquare.hi()[j])
                && Kernels.isModerate(inverseStd.hi()[j])
                && (gamma[from + j] == 0 || Kernels.isModerate(factor.hi()[j]))
                && Math.abs(beta[from + j]) <= Kernels.MOST;
    }

    private static boolean isModerateOrZero(double squares) {
        return squares == 0 || Kernels.isModerateSquare(squares);
    }

    /** Sets dγ (16) and dβ (17), for h and γ of the last {@link #forward}. */
    void backwardParameters(double[] h, double[] gamma, double[] dy, double[] dgamma, double[] dbeta) {
        sumGradients(h, dy);
        setGradients(dgamma, dbeta);
        scaledGradients.clear();
        for (int j = 0; j < width; j++) {
            if (!isModerateOrZero(sumDySquare[j]) && !scaled.containsKey(j)) {
                putGradients(j, new ScaledColumn(column(h, j), epsilon), dy, gamma);
            }
        }
        scaled.forEach((j, column) -> putGradients(j, column, dy, gamma));
        scaledGradients.forEach((j, gradients) -> {
            dgamma[from + j] = gradients.dgamma();
            dbeta[from + j] = gradients.dbeta();
        });
    }

    private void putGradients(int j, ScaledColumn column, double[] dy, double[] gamma) {
        scaledGradients.put(j, column.backward(column(dy, j), gamma[from + j]));
    }

    /** Sets Σdy, Σdy·d and Σdy². */
    void sumGradients(double[] h, double[] dy) {
        sumDy.setZero();
        sumDyD.setZero();
        Arrays.fill(sumDySquare, 0);
        for (int i = 0; i < rows; i += BLOCK) {
            kernels.sumGradients(this, i, Math.min(BLOCK, rows - i), h, dy);
            sumDy.carry();
            sumDyD.carry();
        }
        markUnderflow(sumDySquare, dy, zeros);
    }

    /** Sets dγ (16) and dβ (17) from the sums over the batch. */
    void setGradients(double[] dgamma, double[] dbeta) {
        sumDyXHat.set(sumDyD).subtractProduct(r, sumDy).multiply(inverseStd);
        sumDyXHat.round(dgamma, from); // (16)
        sumDy.round(dbeta, from); // (17)
    }

    /** Sets dh (18), after {@link #backwardParameters} for the same h and dy. */
    void backwardInput(double[] h, double[] dy, double[] dh) {
        slope.set(sumDyXHat).multiply(inverseStd).divide(-n).multiply(factor); // g = −f·v·dγ/N
        dhOffset.set(sumDy).divide(-n).multiply(factor).subtractProduct(slope, r); // −f·dβ/N − g·r
        boundDh();
        dhStart.setAnchored(dhOffset, bound, dhAnchor);
        forEachEntry((quantities, i, some) -> kernels.differentiate(quantities, i, some, h, dy, dh)); // (18)
        scaledGradients.forEach((j, gradients) -> setColumn(dh, j, gradients.dh()));
    }

    /** As {@link Normalization#moveRunning}, for the columns of the panel. */
    void moveRunning(double momentum, double[] oldMean, double[] oldVariance, double[] newMean, double[] newVariance) {
        mean.set(pivot, 0).add(r);
        move(momentum, mean, ScaledColumn::mean, oldMean, newMean);
        unbiasedVariance.set(sumUSquare).divide(n - 1);
        move(momentum, unbiasedVariance, ScaledColumn::unbiasedVariance, oldVariance, newVariance);
    }

    private void move(
            double momentum,
            DoubleDoubles batch,
            Function<ScaledColumn, DoubleDouble> ofScaled,
            double[] running,
            double[] moved) {
        kept.set(running, from).multiply(DoubleDouble.sum(1, -momentum));
        taken.set(batch).multiply(DoubleDouble.of(momentum));
        kept.add(taken).round(moved, from);
        scaled.forEach((j, column) ->
                moved[from + j] = ScaledColumn.moved(momentum, running[from + j], ofScaled.apply(column)));
    }

    // A batch in blocks

    /** Puts Σd and Σd² of the rows at hand among the sums of a block. */
    void putDeviations(BlockSums sums) {
        sums.putPairs(0, this, sumD);
        sums.putPairs(1, this, sumDSquare);
    }

    /** Takes Σd and Σd² of the batch, and sets r and Σu². */
    void takeDeviations(BlockSums sums, double n) {
        sums.takePairs(0, this, sumD);
        sums.takePairs(1, this, sumDSquare);
        setMoments(n);
    }

    /** Puts Σdy, Σdy·d and Σdy² of the rows at hand among the sums of a block. */
    void putGradients(BlockSums sums) {
        sums.putPairs(0, this, sumDy);
        sums.putPairs(1, this, sumDyD);
        System.arraycopy(sumDySquare, 0, sums.singles(), from, width);
    }

    /** Takes Σdy, Σdy·d and Σdy² of the batch. */
    void takeGradients(BlockSums sums) {
        sums.takePairs(0, this, sumDy);
        sums.takePairs(1, this, sumDyD);
        System.arraycopy(sums.singles(), from, sumDySquare, 0, width);
    }

    /** As {@link Normalization#immoderateColumn}, in the panel. */
    int immoderateColumn(double[] gamma, double[] beta) {
        for (int j = 0; j < width; j++) {
            if (!isForKernels(j, gamma, beta)) {
                return from + j;
            }
        }
        return -1;
    }

    /** As {@link Normalization#immoderateGradient}, in the panel. */
    int immoderateGradient() {
        for (int j = 0; j < width; j++) {
            if (!isModerateOrZero(sumDySquare[j])) {
                return from + j;
            }
        }
        return -1;
    }

    /** As {@link Normalization#overflowingColumn}, in the panel: it can only be one that is not for the kernels. */
    int overflowingColumn() {
        for (Map.Entry<Integer, ScaledColumn> entry : scaled.entrySet()) {
            if (!Double.isFinite(entry.getValue().unbiasedVariance().value())) {
                return from + entry.getKey();
            }
        }
        return -1;
    }

    private double[] column(double[] matrix, int j) {
        double[] column = new double[rows];
        for (int i = 0; i < rows; i++) {
            column[i] = matrix[at(i) + j];
        }
        return column;
    }

    private void setColumn(double[] matrix, int j, double[] column) {
        for (int i = 0; i < rows; i++) {
            matrix[at(i) + j] = column[i];
        }
    }

    private boolean isConstant(double[] matrix, int j, double value) {
        for (int i = 0; i < rows; i++) {
            if (matrix[at(i) + j] != value) {
                return false;
            }
        }
        return true;
    }
}
