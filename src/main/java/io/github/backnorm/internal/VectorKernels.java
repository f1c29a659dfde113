package io.github.backnorm.internal;

import io.github.backnorm.internal.products.FloatRows;
import io.github.backnorm.internal.products.NarrowProducts;
import io.github.backnorm.internal.products.Operand;
import io.github.backnorm.internal.products.VectorDoubles;
import io.github.backnorm.internal.products.VectorFloats;
import io.github.backnorm.internal.products.VectorRows;
import io.github.backnorm.internal.threads.Parallel;
import java.util.Arrays;
import java.util.function.IntFunction;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Kernels in SIMD vectors of the width that the machine prefers.
 *
 * <p>Structure. A kernel of training takes a few rows at a time, along groups of columns, one column a lane. So it
 * loads the quantities of a column once for all these rows. Loops over them have two rounds, nested for four rows,
 * because C2 always unrolls such loops. The rows that are left, and panels with fewer columns than lanes, go to the
 * scalar kernels. No load or store is masked: on JDK 17 masked ones are many times slower.
 *
 * <p>Last columns. If the number of columns is no multiple of the lanes, the last group ends at the last column and
 * overlaps the one before. Entries in the overlap are computed twice. Sums in the overlap would count rows twice, so
 * they are restored afterwards.
 *
 * <p>Registers. C2 allocates a vector as an object, a hundred times slower, if it is passed to a method that is not
 * inlined. So the species is a static final constant, and vectors are local variables of small static methods. They are
 * passed only to methods of their own module, which C2 must inline: it may leave out a helper of ours in a large
 * caller. So the errors of sums ({@link DoubleDouble#sumError}) are written out; {@code rounded} is the part of the
 * second term that the sum has taken in. A value that a loop carries from row to row is always the argument of a call,
 * never the receiver: receivers were allocated in one JVM of ten.
 *
 * <p>In batch norm's sums about half of the subtractions {@code a − b} are {@code minus.fma(b, a)} with −1 for minus,
 * which rounds the same. AMD processors have separate adders and multipliers, and the adders have more to do.
 */
final class VectorKernels extends Kernels {
    private static final VectorSpecies<Double> SPECIES = DoubleVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();

    /** The most columns of B for narrow products. */
    private static final int NARROW = 2;

    /** Pairs of rows that batch norm's sums take at a time: with four lanes, two pairs are slower. */
    private static final int PAIRS = LANES == 8 ? 2 : 1;

    /** What ReLU's gradient compares with. */
    private static final double[] ZEROS = new double[LANES];

    private final ScalarKernels scalar;

    VectorKernels(Parallel parallel) {
        super(parallel);
        this.scalar = new ScalarKernels(parallel);
    }

    @Override
    int lanes() {
        return LANES;
    }

    @Override
    public String toString() {
        return "vector kernels, " + LANES + " lanes";
    }

    @Override
    double[] multiply(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        if (VectorRows.suits(a, b)) {
            return VectorRows.multiply(a, b, row, arrayFor);
        }
        return NarrowProducts.suits(a, b, NARROW)
                ? NarrowProducts.multiply(parallel(), a, b, row, arrayFor)
                : VectorDoubles.multiply(parallel(), a, b, row, arrayFor);
    }

    @Override
    double[] multiplySingle(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        return VectorFloats.multiply(parallel(), a, b, row, arrayFor);
    }

    @Override
    double[] multiplySingle(Operand a, FloatRows b, double[] row) {
        return VectorFloats.multiply(a, b, row);
    }

    @Override
    void sumColumns(int m, int n, double[] a, DoubleDoubles sums) {
        int vectorized = SPECIES.loopBound(n);
        int paired = m - m % 2;
        for (int i = 0; i < paired; i += 2) {
            addTwoRows(vectorized, a, i * n, n, sums);
        }
        for (int i = 0; i < m; i++) {
            ScalarKernels.addToSums(i < paired ? vectorized : 0, n, a, i * n, sums.hi(), sums.lo());
        }
    }

    private static void addTwoRows(int n, double[] a, int at, int rowStep, DoubleDoubles sums) {
        for (int j = 0; j < n; j += LANES) {
            DoubleVector sum = DoubleVector.fromArray(SPECIES, sums.hi(), j);
            DoubleVector error = DoubleVector.fromArray(SPECIES, sums.lo(), j);
            for (int i = 0, k = at + j; i < 2; i++, k += rowStep) {
                DoubleVector term = DoubleVector.fromArray(SPECIES, a, k);
                DoubleVector plain = term.add(sum);
                DoubleVector rounded = plain.sub(term);
                DoubleVector low =
                        term.sub(plain.sub(rounded)).sub(rounded.sub(sum)).add(error);
                sum = plain.add(low);
                error = low.sub(sum.sub(plain));
            }
            sum.intoArray(sums.hi(), j);
            error.intoArray(sums.lo(), j);
        }
    }

    @Override
    void sumDeviations(Quantities panel, int i, int rows, double[] h) {
        int width = panel.width;
        if (width < LANES) {
            scalar.sumDeviations(panel, i, rows, h);
            return;
        }
        int whole = SPECIES.loopBound(width);
        int paired = rows - rows % (2 * PAIRS);
        for (int row = i; row < i + paired; row += 2 * PAIRS) {
            addDeviations(panel, 0, whole, row, h);
        }
        if (whole < width) {
            DoubleDoubles sumD = panel.sumD.copyOfRange(width - LANES, whole);
            DoubleDoubles sumDSquare = panel.sumDSquare.copyOfRange(width - LANES, whole);
            for (int row = i; row < i + paired; row += 2 * PAIRS) {
                addDeviations(panel, width - LANES, width, row, h);
            }
            panel.sumD.restore(sumD, width - LANES);
            panel.sumDSquare.restore(sumDSquare, width - LANES);
        }
        if (paired < rows) {
            scalar.sumDeviations(panel, i + paired, rows - paired, h);
        }
    }

    /** Adds {@code 2·PAIRS} rows to the sums of the columns {@code from} to {@code to − 1}, which are whole groups. */
    private static void addDeviations(Quantities panel, int from, int to, int row, double[] h) {
        double[] pivot = panel.pivot;
        double[] sums = panel.sumD.hi();
        double[] sumsLow = panel.sumD.lo();
        double[] squares = panel.sumDSquare.hi();
        double[] squaresLow = panel.sumDSquare.lo();
        int at = panel.at(row);
        int rowStep = panel.rowStep;
        DoubleVector minus = DoubleVector.broadcast(SPECIES, -1.0);
        for (int j = from; j < to; j += LANES) {
            DoubleVector c = DoubleVector.fromArray(SPECIES, pivot, j);
            DoubleVector sum = DoubleVector.fromArray(SPECIES, sums, j);
            DoubleVector sumLow = DoubleVector.fromArray(SPECIES, sumsLow, j);
            DoubleVector squareSum = DoubleVector.fromArray(SPECIES, squares, j);
            DoubleVector squareSumLow = DoubleVector.fromArray(SPECIES, squaresLow, j);
            for (int i = 0; i < PAIRS; i++) {
                for (int l = 0; l < 2; l++) {
                    int k = at + (2 * i + l) * rowStep + j;
                    DoubleVector d = DoubleVector.fromArray(SPECIES, h, k).sub(c);
                    DoubleVector next = d.add(sum);
                    DoubleVector rounded = next.sub(d);
                    sumLow = minus.fma(minus.fma(sum, rounded), minus.fma(minus.fma(rounded, next), d))
                            .add(sumLow);
                    sum = next;
                    DoubleVector square = d.mul(d);
                    DoubleVector low = d.fma(d, square.neg());
                    next = square.add(squareSum);
                    rounded = next.sub(square);
                    squareSumLow = square.sub(next.sub(rounded))
                            .sub(rounded.sub(squareSum))
                            .add(low)
                            .add(squareSumLow);
                    squareSum = next;
                }
            }
            sum.intoArray(sums, j);
            sumLow.intoArray(sumsLow, j);
            squareSum.intoArray(squares, j);
            squareSumLow.intoArray(squaresLow, j);
        }
    }

    @Override
    void normalize(Quantities panel, int i, int rows, double[] h, double least, double[] y) {
        int width = panel.width;
        if (width < LANES) {
            scalar.normalize(panel, i, rows, h, least, y);
            return;
        }
        int whole = SPECIES.loopBound(width);
        int inFours = rows - rows % 4;
        for (int row = i; row < i + inFours; row += 4) {
            normalizeFourRows(panel, 0, whole, row, h, least, y);
            if (whole < width) {
                normalizeFourRows(panel, width - LANES, width, row, h, least, y);
            }
        }
        if (inFours < rows) {
            scalar.normalize(panel, i + inFours, rows - inFours, h, least, y);
        }
    }

    private static void normalizeFourRows(
            Quantities panel, int from, int to, int row, double[] h, double least, double[] y) {
        double[] pivots = panel.pivot;
        double[] factors = panel.factor.hi();
        double[] factorsLow = panel.factor.lo();
        double[] starts = panel.yStart.hi();
        double[] startsLow = panel.yStart.lo();
        double[] anchors = panel.yAnchor;
        int at = panel.at(row);
        int rowStep = panel.rowStep;
        DoubleVector lowest = DoubleVector.broadcast(SPECIES, least);
        for (int j = from; j < to; j += LANES) {
            DoubleVector c = DoubleVector.fromArray(SPECIES, pivots, j);
            DoubleVector f = DoubleVector.fromArray(SPECIES, factors, j);
            DoubleVector fLow = DoubleVector.fromArray(SPECIES, factorsLow, j);
            DoubleVector start = DoubleVector.fromArray(SPECIES, starts, j);
            DoubleVector startLow = DoubleVector.fromArray(SPECIES, startsLow, j);
            DoubleVector anchor = DoubleVector.fromArray(SPECIES, anchors, j);
            for (int i = 0; i < 2; i++) {
                for (int l = 0; l < 2; l++) {
                    int k = at + (2 * i + l) * rowStep + j;
                    DoubleVector d = DoubleVector.fromArray(SPECIES, h, k).sub(c);
                    DoubleVector sum = f.fma(d, start);
                    DoubleVector low = f.fma(d, start.sub(sum)).add(fLow.fma(d, startLow));
                    sum.sub(anchor).add(low).max(lowest).intoArray(y, k);
                }
            }
        }
    }

    @Override
    void sumGradients(Quantities panel, int i, int rows, double[] h, double[] dy) {
        int width = panel.width;
        if (width < LANES) {
            scalar.sumGradients(panel, i, rows, h, dy);
            return;
        }
        int whole = SPECIES.loopBound(width);
        int paired = rows - rows % (2 * PAIRS);
        for (int row = i; row < i + paired; row += 2 * PAIRS) {
            addGradients(panel, 0, whole, row, h, dy);
        }
        if (whole < width) {
            DoubleDoubles sumDy = panel.sumDy.copyOfRange(width - LANES, whole);
            DoubleDoubles sumDyD = panel.sumDyD.copyOfRange(width - LANES, whole);
            double[] sumDySquare = Arrays.copyOfRange(panel.sumDySquare, width - LANES, whole);
            for (int row = i; row < i + paired; row += 2 * PAIRS) {
                addGradients(panel, width - LANES, width, row, h, dy);
            }
            panel.sumDy.restore(sumDy, width - LANES);
            panel.sumDyD.restore(sumDyD, width - LANES);
            System.arraycopy(sumDySquare, 0, panel.sumDySquare, width - LANES, sumDySquare.length);
        }
        if (paired < rows) {
            scalar.sumGradients(panel, i + paired, rows - paired, h, dy);
        }
    }

    /** As {@link #addDeviations}, for the sums of backward. */
    private static void addGradients(Quantities panel, int from, int to, int row, double[] h, double[] dy) {
        double[] pivot = panel.pivot;
        double[] sums = panel.sumDy.hi();
        double[] sumsLow = panel.sumDy.lo();
        double[] products = panel.sumDyD.hi();
        double[] productsLow = panel.sumDyD.lo();
        double[] squares = panel.sumDySquare;
        int at = panel.at(row);
        int rowStep = panel.rowStep;
        DoubleVector minus = DoubleVector.broadcast(SPECIES, -1.0);
        for (int j = from; j < to; j += LANES) {
            DoubleVector c = DoubleVector.fromArray(SPECIES, pivot, j);
            DoubleVector sum = DoubleVector.fromArray(SPECIES, sums, j);
            DoubleVector sumLow = DoubleVector.fromArray(SPECIES, sumsLow, j);
            DoubleVector productSum = DoubleVector.fromArray(SPECIES, products, j);
            DoubleVector productSumLow = DoubleVector.fromArray(SPECIES, productsLow, j);
            DoubleVector squareSum = DoubleVector.fromArray(SPECIES, squares, j);
            for (int i = 0; i < PAIRS; i++) {
                for (int l = 0; l < 2; l++) {
                    int k = at + (2 * i + l) * rowStep + j;
                    DoubleVector d = DoubleVector.fromArray(SPECIES, h, k).sub(c);
                    DoubleVector term = DoubleVector.fromArray(SPECIES, dy, k);
                    DoubleVector next = term.add(sum);
                    DoubleVector rounded = next.sub(term);
                    sumLow = minus.fma(minus.fma(sum, rounded), minus.fma(minus.fma(rounded, next), term))
                            .add(sumLow);
                    sum = next;
                    squareSum = term.fma(term, squareSum);
                    DoubleVector product = d.mul(term);
                    DoubleVector low = d.fma(term, product.neg());
                    next = product.add(productSum);
                    rounded = next.sub(product);
                    productSumLow = product.sub(next.sub(rounded))
                            .sub(rounded.sub(productSum))
                            .add(low)
                            .add(productSumLow);
                    productSum = next;
                }
            }
            sum.intoArray(sums, j);
            sumLow.intoArray(sumsLow, j);
            productSum.intoArray(products, j);
            productSumLow.intoArray(productsLow, j);
            squareSum.intoArray(squares, j);
        }
    }

    @Override
    void differentiate(Quantities panel, int i, int rows, double[] h, double[] dy, double[] dh) {
        int width = panel.width;
        if (width < LANES) {
            scalar.differentiate(panel, i, rows, h, dy, dh);
            return;
        }
        int whole = SPECIES.loopBound(width);
        int inFours = rows - rows % 4;
        for (int row = i; row < i + inFours; row += 4) {
            differentiateFourRows(panel, 0, whole, row, h, dy, dh);
            if (whole < width) {
                differentiateFourRows(panel, width - LANES, width, row, h, dy, dh);
            }
        }
        if (inFours < rows) {
            scalar.differentiate(panel, i + inFours, rows - inFours, h, dy, dh);
        }
    }

    private static void differentiateFourRows(
            Quantities panel, int from, int to, int row, double[] h, double[] dy, double[] dh) {
        double[] pivots = panel.pivot;
        double[] factors = panel.factor.hi();
        double[] factorsLow = panel.factor.lo();
        double[] slopes = panel.slope.hi();
        double[] slopesLow = panel.slope.lo();
        double[] starts = panel.dhStart.hi();
        double[] startsLow = panel.dhStart.lo();
        double[] anchors = panel.dhAnchor;
        int at = panel.at(row);
        int rowStep = panel.rowStep;
        for (int j = from; j < to; j += LANES) {
            DoubleVector c = DoubleVector.fromArray(SPECIES, pivots, j);
            DoubleVector f = DoubleVector.fromArray(SPECIES, factors, j);
            DoubleVector fLow = DoubleVector.fromArray(SPECIES, factorsLow, j);
            DoubleVector g = DoubleVector.fromArray(SPECIES, slopes, j);
            DoubleVector gLow = DoubleVector.fromArray(SPECIES, slopesLow, j);
            DoubleVector start = DoubleVector.fromArray(SPECIES, starts, j);
            DoubleVector startLow = DoubleVector.fromArray(SPECIES, startsLow, j);
            DoubleVector anchor = DoubleVector.fromArray(SPECIES, anchors, j);
            for (int i = 0; i < 2; i++) {
                for (int l = 0; l < 2; l++) {
                    int k = at + (2 * i + l) * rowStep + j;
                    DoubleVector term = DoubleVector.fromArray(SPECIES, dy, k);
                    DoubleVector d = DoubleVector.fromArray(SPECIES, h, k).sub(c);
                    DoubleVector first = f.fma(term, start);
                    DoubleVector firstLow = f.fma(term, start.sub(first)).add(fLow.fma(term, startLow));
                    DoubleVector next = g.fma(d, first);
                    DoubleVector low = g.fma(d, first.sub(next)).add(gLow.fma(d, firstLow));
                    next.sub(anchor).add(low).intoArray(dh, k);
                }
            }
        }
    }

    @Override
    void normalizeGiven(Given given, int i, int rows, double[] h, double least, double[] y) {
        int columns = given.columns();
        if (columns < LANES) {
            scalar.normalizeGiven(given, i, rows, h, least, y);
            return;
        }
        int whole = SPECIES.loopBound(columns);
        for (int row = i; row < i + rows; row++) {
            normalizeRow(given, 0, whole, row * columns, h, least, y);
            if (whole < columns) {
                normalizeRow(given, columns - LANES, columns, row * columns, h, least, y);
            }
        }
    }

    private static void normalizeRow(Given given, int from, int to, int at, double[] h, double least, double[] y) {
        double[] mean = given.mean();
        double[] factor = given.factor().hi();
        double[] factorLow = given.factor().lo();
        double[] beta = given.beta();
        DoubleVector lowest = DoubleVector.broadcast(SPECIES, least);
        for (int j = from; j < to; j += LANES) {
            DoubleVector c = DoubleVector.fromArray(SPECIES, mean, j);
            DoubleVector f = DoubleVector.fromArray(SPECIES, factor, j);
            DoubleVector fLow = DoubleVector.fromArray(SPECIES, factorLow, j);
            DoubleVector b = DoubleVector.fromArray(SPECIES, beta, j);
            DoubleVector x = DoubleVector.fromArray(SPECIES, h, at + j);
            DoubleVector d = x.sub(c);
            DoubleVector rounded = d.sub(x);
            DoubleVector dLow = x.sub(d.sub(rounded)).sub(c.add(rounded));
            DoubleVector product = f.mul(d);
            DoubleVector low = f.fma(dLow, fLow.fma(d, f.fma(d, product.neg())));
            DoubleVector sum = b.add(product);
            rounded = sum.sub(b);
            DoubleVector error = b.sub(sum.sub(rounded)).add(product.sub(rounded));
            sum.add(error.add(low)).max(lowest).intoArray(y, at + j);
        }
    }

    @Override
    void reluBackward(int from, int to, double[] y, double[] da, double[] dy) {
        if (to - from < LANES || LANES == 2) { // C2 allocates masks of two lanes as objects
            scalar.reluBackward(from, to, y, da, dy);
            return;
        }
        int whole = from + SPECIES.loopBound(to - from);
        mask(from, whole, y, da, dy);
        if (whole < to) {
            mask(to - LANES, to, y, da, dy); // even where dy is da, masking the overlap twice is right
        }
    }

    /** {@link #reluBackward} for whole groups. */
    private static void mask(int from, int to, double[] y, double[] da, double[] dy) {
        for (int k = from; k < to; k += LANES) {
            DoubleVector x = DoubleVector.fromArray(SPECIES, y, k);
            DoubleVector zero = DoubleVector.fromArray(SPECIES, ZEROS, 0);
            zero.blend(DoubleVector.fromArray(SPECIES, da, k), x.compare(VectorOperators.GT, zero))
                    .blend(x, x.compare(VectorOperators.NE, x))
                    .intoArray(dy, k);
        }
    }
}
