package io.github.backnorm.internal;

import java.util.Arrays;
import java.util.function.Function;

/**
 * Batch normalization of a batch by its own statistics, forward and backward, as if computed in twice the working
 * precision and rounded once; one batch after the other, in the same arrays.
 *
 * <p>What it computes, with the numbers of {@code docs/derivation.md}; the bound on its error, with the proof, is in
 * {@code docs/numerics.md}:
 * <pre>{@code
 * y  = γ·(h − μ)·v + β                          (4), (5)
 * dγ = v·Σₖ dyₖ·uₖ, u = h − μ                   (16)
 * dβ = Σₖ dyₖ                                   (17)
 * dh = γ·v·(dy − dβ/N − u·(v²·Σₖ dyₖ·uₖ)/N)     (18)
 * }</pre>
 *
 * <p>Pivot. A column is shifted by a pivot c for which each {@code d = h − c} is a double, exactly: by 0, or, where
 * {@code μ² > 5·Σ u²}, by μ rounded, for then every entry is within a factor of two of μ. The mean is c and a remainder
 * {@code r = mean(d)}, so that errors are relative to the spread of the column and not to its mean. u itself is never
 * formed. In what is summed and in what is applied, {@code u = d − r} is multiplied out, so that each entry is read once
 * for both sums, and r goes into per-column quantities:
 * <pre>{@code
 * Σ u²   = Σ d² − r·Σ d
 * Σ dy·u = Σ dy·d − r·Σ dy
 * y      = f·d + (β − f·r),              f = γ·v
 * dh     = f·dy + g·d − (f·a + g·r),     a = Σ dy/N, g = −f·v²·(Σ dy·u)/N
 * }</pre>
 * r² is at most 5N·σ², and what cancels costs a factor of 5N + 1 at most.
 *
 * <p>Two words. The loops over entries are {@link Kernels}; they carry the rounding errors of products and sums in a
 * second word, and round once, in their last addition. Per-column quantities are {@link DoubleDoubles}.
 *
 * <p>Blocks. Rows are taken in blocks of {@value #BLOCK}; within one, a sum and the sum of its errors are apart, and at
 * its end they are made a double-double again. A longer block would lose digits where the pivot is far from the mean, a
 * shorter one costs more time.
 *
 * <p>Panels. Columns are taken in panels, which are independent of each other. A column's bits depend on nothing but
 * the column.
 *
 * <p>Scale. Here nothing is scaled. A column whose sum of squares, or whose v, γ·v, β or dy, is so small or so large
 * that something might underflow or overflow, or is not finite, is left to {@link ScaledColumn}, column by column.
 */
public final class Normalization {
    /** The most rows in which errors are collected apart; see {@code docs/numerics.md}, where 32 is in the proof. */
    static final int BLOCK = 32;

    /** Columns of a panel: the wider, the longer the kernels' loops, and the fewer pages of memory are in use. */
    private static final int PANEL = 512;

    /** The same where panels are tasks for several threads. */
    private static final int NARROW_PANEL = 128;

    /** Operations of a SIMD product that take about as long as an entry does, forward or backward. */
    private static final int OPERATIONS = 60;

    /** Squares and sums of squares from 2^−600 to 2^600 have room for their error terms, and so has g. */
    private static final double MOST = 0x1p600;

    /** The same of numbers that are not squares. */
    static final double MOST_FACTOR = 0x1p300;

    private final int n;
    private final double epsilon;

    // Of the last batch
    private Kernels kernels;
    private int m;
    private int helpers;
    private Panel[] panels = {};

    /** Makes what normalizes batches of n columns, one after the other. */
    public Normalization(int n, double epsilon) {
        this.n = n;
        this.epsilon = epsilon;
    }

    /** Makes panels, unless there are as many: to make their arrays takes about as long as what is done with them. */
    private void prepare(int m) {
        this.kernels = Kernels.chosen();
        this.m = m;
        this.helpers = Parallel.helpers((double) OPERATIONS * m * n);
        int width = helpers > 0 ? NARROW_PANEL : PANEL;
        int whole = Math.max(8, kernels.lanes()); // a cache line, few of which are shared, and a group of columns
        int count = (n + width - 1) / width;
        if (panels.length == count) {
            return;
        }
        Panel[] made = new Panel[count];
        int from = 0;
        for (int p = 0; p < count; p++) {
            int to = p == count - 1 ? n : (int) ((long) n * (p + 1) / count) / whole * whole;
            made[p] = new Panel(from, to);
            from = to;
        }
        panels = made; // all of them, or, where memory runs out, those before
    }

    /** Whether y or dh, m×n, is to be written over a copy of h or dy ({@link Elementwise#isBetterCopied}). */
    public static boolean isBetterCopied(int m, int n) {
        return Elementwise.isBetterCopied(m * n) && worksInPlace(n);
    }

    /**
     * Whether y of n columns may go over h, and dh over dy: not where groups of columns overlap in SIMD, for what they
     * share is computed twice.
     */
    public static boolean worksInPlace(int n) {
        return n % Kernels.chosen().lanes() == 0;
    }

    /**
     * Normalizes h, m×n, m ≥ 2, into y. Where {@link #overflowingColumn} says so then, y is meaningless.
     *
     * @param relu whether y is to be max(y, 0), as of {@link Elementwise#relu}
     * @param copied whether y holds a copy of h, as {@link #worksInPlace} allows
     */
    public void forward(int m, double[] h, double[] gamma, double[] beta, boolean relu, boolean copied, double[] y) {
        prepare(m);
        double[] source = copied ? y : h;
        Parallel.run(helpers, panels.length, p -> panels[p].forward(h, gamma, beta, relu, source, y));
    }

    /**
     * dγ, dβ and dh for da, m×n, given h and γ of the last {@link #forward}.
     *
     * @param a m×n, what followed from a = max(y, 0); null if y was the output, whose gradient da is then
     * @param dy m×n, where the gradient with respect to y goes: may be da; where a is null, da or a copy of it
     * @param dh m×n, or null if it is not wanted; may be dy, as {@link #worksInPlace} allows
     */
    public void backward(
            double[] h,
            double[] gamma,
            double[] a,
            double[] da,
            double[] dy,
            double[] dgamma,
            double[] dbeta,
            double[] dh) {
        Parallel.run(helpers, panels.length, p -> panels[p].backward(h, gamma, a, da, dy, dgamma, dbeta, dh));
    }

    /**
     * The first column whose unbiased variance is not finite: beyond the range of double, or of entries that are not
     * finite; −1 if there is none.
     */
    public int overflowingColumn() {
        for (Panel panel : panels) {
            for (int j = 0; j < panel.width; j++) {
                if (panel.scaled[j] != null
                        && !Double.isFinite(panel.scaled[j].unbiasedVariance().value())) {
                    return panel.from + j;
                }
            }
        }
        return -1;
    }

    /** {@code running = (1 − momentum)·running + momentum·batch} (25), for the batch's mean and unbiased variance. */
    public void moveRunning(double momentum, double[] runningMean, double[] runningVariance) {
        for (Panel panel : panels) {
            panel.moveRunning(momentum, runningMean, runningVariance);
        }
    }

    /** The columns from one to another, and their statistics. */
    private final class Panel {
        private final int from;
        private final int width;
        private final double[] pivot; // c
        private final ScaledColumn[] scaled; // what is not done here; the others are null
        private final DoubleDoubles r; // mean(d)
        private final DoubleDoubles sumOfSquares; // Σ u²
        private final DoubleDoubles v;
        private final DoubleDoubles factor; // f = γ·v

        // Formed on the way, and not needed after.
        private final DoubleDoubles sum;
        private final DoubleDoubles products;
        private final DoubleDoubles work;
        private final DoubleDoubles other;
        private final double[] bound;

        Panel(int from, int to) {
            this.from = from;
            this.width = to - from;
            this.pivot = new double[width];
            this.scaled = new ScaledColumn[width];
            this.r = DoubleDoubles.zeros(width);
            this.sumOfSquares = DoubleDoubles.zeros(width);
            this.v = DoubleDoubles.zeros(width);
            this.factor = DoubleDoubles.zeros(width);
            this.sum = DoubleDoubles.zeros(width);
            this.products = DoubleDoubles.zeros(width);
            this.work = DoubleDoubles.zeros(width);
            this.other = DoubleDoubles.zeros(width);
            this.bound = new double[width];
        }

        void forward(double[] h, double[] gamma, double[] beta, boolean relu, double[] source, double[] y) {
            Arrays.fill(pivot, 0);
            Arrays.fill(scaled, null);
            DoubleDoubles squares = products;
            sumDeviations(h, squares);
            if (movePivots()) {
                sumDeviations(h, squares);
            }
            DoubleDoubles inside = sumOfSquares // σ² + ε (3)
                    .dividedBy(m, work)
                    .plus(v.fill(DoubleDouble.of(epsilon)), work);
            inside.inverseSqrt(v); // (9)
            v.times(other.fill(gamma, from), factor);
            for (int j = 0; j < width; j++) {
                boolean inRange = isModerate(squares.hi()[j], MOST)
                        || (squares.hi()[j] == 0 && isConstant(column(h, j), pivot[j]));
                boolean ordinary = inRange
                        && isModerate(inside.hi()[j], MOST)
                        && (gamma[from + j] == 0 || isModerate(factor.hi()[j], MOST_FACTOR))
                        && Math.abs(beta[from + j]) <= MOST_FACTOR;
                if (!ordinary) {
                    scaled[j] = new ScaledColumn(column(h, j), epsilon);
                }
                bound[j] = Math.abs(factor.hi()[j]) * radius(j); // of f·d
            }
            DoubleDoubles offset = other.fill(beta, from).minus(factor.times(r, work), work);
            double[] anchor = offset.anchor(bound);
            double least = relu ? 0 : Double.NEGATIVE_INFINITY;
            kernels.normalize(m, width, source, from, n, pivot, factor, offset, anchor, least, y);
            for (int j = 0; j < width; j++) {
                if (scaled[j] != null) {
                    double[] column = scaled[j].apply(gamma[from + j], beta[from + j]);
                    if (relu) {
                        Elementwise.relu(column, column);
                    }
                    setColumn(y, j, column);
                }
            }
        }

        /** Sets Σ d², r and Σ u² by the pivots. */
        private void sumDeviations(double[] h, DoubleDoubles squares) {
            sum.fill(DoubleDouble.ZERO);
            squares.fill(DoubleDouble.ZERO);
            for (int i = 0; i < m; i += BLOCK) {
                kernels.sumDeviations(rows(i), width, h, at(i), n, pivot, sum, squares);
                sum.carry();
                squares.carry();
            }
            sum.dividedBy(m, r);
            squares.minus(r.times(sum, work), sumOfSquares);
        }

        /**
         * Makes the mean the pivot where μ² &gt; 5·Σ u²: since u² ≤ Σ u², all entries are from 0.55μ to 1.45μ there.
         *
         * @return whether there is such a column
         */
        private boolean movePivots() {
            boolean moved = false;
            for (int j = 0; j < width; j++) {
                double mean = r.hi()[j];
                if (mean * mean > 5 * sumOfSquares.hi()[j]) {
                    pivot[j] = mean;
                    moved = true;
                }
            }
            return moved;
        }

        void backward(
                double[] h,
                double[] gamma,
                double[] a,
                double[] da,
                double[] dy,
                double[] dgamma,
                double[] dbeta,
                double[] dh) {
            sum.fill(DoubleDouble.ZERO);
            products.fill(DoubleDouble.ZERO);
            double[] squares = other.hi();
            Arrays.fill(squares, 0);
            for (int i = 0; i < m; i += BLOCK) {
                if (a != null) {
                    kernels.reluBackward(rows(i), width, a, at(i), n, da, dy);
                }
                kernels.sumGradients(rows(i), width, h, at(i), n, dy, pivot, sum, products, squares);
                sum.carry();
                products.carry();
            }
            ScaledColumn.Gradients[] general = general(h, gamma, dy, squares); // before dh may go over dy
            DoubleDoubles dyU = products.minus(r.times(sum, work), products); // Σ dy·u
            DoubleDoubles dyXHat = dyU.times(v, dyU); // Σ dy·ĥ
            dyXHat.values(dgamma, from); // (16)
            sum.values(dbeta, from); // (17)
            if (dh != null) {
                DoubleDoubles slope =
                        dyXHat.times(v, dyXHat).dividedBy(-m, dyXHat).times(factor, dyXHat); // g
                DoubleDoubles offset = sum.dividedBy(-m, sum).times(factor, sum).minus(slope.times(r, work), sum);
                for (int j = 0; j < width; j++) {
                    bound[j] = Math.abs(factor.hi()[j]) * Math.sqrt(squares[j])
                            + Math.abs(slope.hi()[j]) * radius(j); // of f·dy + g·d
                }
                double[] anchor = offset.anchor(bound);
                kernels.differentiate(m, width, h, from, n, dy, pivot, factor, slope, offset, anchor, dh); // (18)
            }
            for (int j = 0; j < width; j++) {
                if (general[j] != null) {
                    dgamma[from + j] = general[j].dgamma();
                    dbeta[from + j] = general[j].dbeta();
                    if (dh != null) {
                        setColumn(dh, j, general[j].dh());
                    }
                }
            }
        }

        /** The gradients of the columns that are not done here; the others are null. */
        private ScaledColumn.Gradients[] general(double[] h, double[] gamma, double[] dy, double[] squares) {
            ScaledColumn.Gradients[] general = new ScaledColumn.Gradients[width];
            for (int j = 0; j < width; j++) {
                if (scaled[j] != null || (!isModerate(squares[j], MOST) && !isConstant(column(dy, j), 0))) {
                    ScaledColumn column = scaled[j] == null ? new ScaledColumn(column(h, j), epsilon) : scaled[j];
                    general[j] = column.backward(column(dy, j), gamma[from + j]);
                }
            }
            return general;
        }

        void moveRunning(double momentum, double[] runningMean, double[] runningVariance) {
            DoubleDoubles mean = sum.fill(pivot, 0).plus(r, sum); // (2)
            move(momentum, runningMean, mean, ScaledColumn::mean);
            DoubleDoubles variance = sumOfSquares.dividedBy(m - 1, sum);
            move(momentum, runningVariance, variance, ScaledColumn::unbiasedVariance);
        }

        private void move(
                double momentum, double[] running, DoubleDoubles batch, Function<ScaledColumn, DoubleDouble> general) {
            work.fill(DoubleDouble.sum(1, -momentum)).times(other.fill(running, from), other);
            work.fill(DoubleDouble.of(momentum)).times(batch, work);
            other.plus(work, other).values(bound, 0);
            for (int j = 0; j < width; j++) {
                double moved = bound[j];
                if (scaled[j] != null || !Double.isFinite(moved)) {
                    DoubleDouble one = scaled[j] == null ? batch.get(j) : general.apply(scaled[j]);
                    moved = ScaledColumn.moved(momentum, running[from + j], one);
                }
                running[from + j] = moved;
            }
        }

        /** At least max |d| of a column. */
        private double radius(int j) {
            return Math.sqrt(sumOfSquares.hi()[j]) + Math.abs(r.hi()[j]);
        }

        private int rows(int i) {
            return Math.min(BLOCK, m - i);
        }

        private int at(int i) {
            return i * n + from;
        }

        private double[] column(double[] matrix, int j) {
            double[] column = new double[m];
            for (int i = 0, at = from + j; i < m; i++, at += n) {
                column[i] = matrix[at];
            }
            return column;
        }

        private void setColumn(double[] matrix, int j, double[] column) {
            for (int i = 0, at = from + j; i < m; i++, at += n) {
                matrix[at] = column[i];
            }
        }
    }

    private static boolean isConstant(double[] column, double value) {
        for (double entry : column) {
            if (entry != value) {
                return false;
            }
        }
        return true;
    }

    /** Whether a number's magnitude is from 1/most to most; false for NaN. */
    private static boolean isModerate(double value, double most) {
        return Math.abs(value) <= most && Math.abs(value) >= 1 / most;
    }
}
