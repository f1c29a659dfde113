package io.github.backnorm.internal.products;

import java.util.Arrays;
import java.util.function.IntFunction;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.VectorSpecies;

/** Products of few rows, for which packing B would cost more than it saves: B is read once for each row of C. */
public final class VectorRows {
    private static final VectorSpecies<Double> SPECIES = DoubleVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();

    /** The most rows of such a product. */
    private static final int MOST = LANES == 8 ? 4 : 6;

    private VectorRows() {}

    /** Whether a product has few enough rows, and the rows of both operands are contiguous. */
    public static boolean suits(Operand a, Operand b) {
        return a.rows() <= MOST && a.hasContiguousRows() && b.hasContiguousRows();
    }

    /** As {@link ScalarProducts#multiply}, for operands that it {@linkplain #suits suits}, on this thread. */
    public static double[] multiply(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        int n = b.columns();
        int k = a.columns();
        double[] c = arrayFor.apply(a.rows() * n);
        Arrays.fill(c, 0.0);
        for (int i = 0; i < a.rows(); i++) {
            int p = 0;
            for (; p + 3 < k; p += 4) {
                addFourRows(n, a.data(), a.at(i, p), b.data(), b.at(p, 0), c, i * n);
            }
            for (; p < k; p++) {
                addScaledRow(n, a.data()[a.at(i, p)], b.data(), b.at(p, 0), c, i * n);
            }
            if (row.length > 0) {
                ScalarProducts.addRow(n, row, 0, c, i * n);
            }
        }
        return c;
    }

    /** {@code c[j] = fma(x3, b[3,j], fma(x2, b[2,j], fma(x1, b[1,j], fma(x0, b[0,j], c[j]))))} for four rows of B. */
    private static void addFourRows(int n, double[] a, int ao, double[] b, int bo, double[] c, int co) {
        double x0 = a[ao];
        double x1 = a[ao + 1];
        double x2 = a[ao + 2];
        double x3 = a[ao + 3];
        DoubleVector v0 = DoubleVector.broadcast(SPECIES, x0);
        DoubleVector v1 = DoubleVector.broadcast(SPECIES, x1);
        DoubleVector v2 = DoubleVector.broadcast(SPECIES, x2);
        DoubleVector v3 = DoubleVector.broadcast(SPECIES, x3);
        int vectorized = SPECIES.loopBound(n);
        for (int j = 0; j < vectorized; j += LANES) {
            DoubleVector sum = DoubleVector.fromArray(SPECIES, c, co + j);
            sum = v0.fma(DoubleVector.fromArray(SPECIES, b, bo + j), sum);
            sum = v1.fma(DoubleVector.fromArray(SPECIES, b, bo + n + j), sum);
            sum = v2.fma(DoubleVector.fromArray(SPECIES, b, bo + 2 * n + j), sum);
            sum = v3.fma(DoubleVector.fromArray(SPECIES, b, bo + 3 * n + j), sum);
            sum.intoArray(c, co + j);
        }
        for (int j = vectorized; j < n; j++) {
            double sum = Math.fma(x0, b[bo + j], c[co + j]);
            sum = Math.fma(x1, b[bo + n + j], sum);
            sum = Math.fma(x2, b[bo + 2 * n + j], sum);
            c[co + j] = Math.fma(x3, b[bo + 3 * n + j], sum);
        }
    }

    private static void addScaledRow(int n, double x, double[] b, int bo, double[] c, int co) {
        DoubleVector v = DoubleVector.broadcast(SPECIES, x);
        int vectorized = SPECIES.loopBound(n);
        for (int j = 0; j < vectorized; j += LANES) {
            v.fma(DoubleVector.fromArray(SPECIES, b, bo + j), DoubleVector.fromArray(SPECIES, c, co + j))
                    .intoArray(c, co + j);
        }
        for (int j = vectorized; j < n; j++) {
            c[co + j] = Math.fma(x, b[bo + j], c[co + j]);
        }
    }
}
