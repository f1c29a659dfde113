package io.github.backnorm.internal;

import java.util.Arrays;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Kernels in SIMD vectors of the width that the machine prefers.
 *
 * <p>The species is a static final constant, vectors are local variables of small static methods: otherwise C2 keeps
 * vectors as objects, a hundred times slower. No load or store is masked, for on JDK 17 masked stores are that slow too:
 * edges are padded, or left to scalar code.
 */
final class VectorKernels extends Kernels {
    private static final VectorSpecies<Double> SPECIES = DoubleVector.SPECIES_PREFERRED;
    static final int LANES = SPECIES.length();

    /** AVX2 as a rule, which has 16 registers; AVX-512 and NEON have 32. */
    private static final boolean FEW_REGISTERS = LANES == 4;

    /**
     * Rows of a tile. Its 24 chains, or 10 of 5×2 vectors, leave registers for what C2 loads ahead: with 12, JDK 25 keeps
     * one in memory, and the tile takes twice as long.
     */
    static final int STRIP = FEW_REGISTERS ? 5 : 6;

    /** Columns of a tile. */
    static final int PANEL = (FEW_REGISTERS ? 2 : 4) * LANES;

    /** What a tile's chains start from, and what ReLU's gradient compares with. */
    static final double[] ZEROS = new double[PANEL];

    /** Up to this number of rows, B is not packed: it would cost more than it saves. */
    private static final int FEW_ROWS = LANES == 8 ? 4 : 6;

    @Override
    int lanes() {
        return LANES;
    }

    @Override
    double[] gemm(
            int m,
            int n,
            int k,
            double[] a,
            boolean aTransposed,
            double[] b,
            boolean bTransposed,
            double[] bias,
            double[] c) {
        if (m <= FEW_ROWS && !aTransposed && !bTransposed) {
            return rows(m, n, k, a, b, bias, c == null ? new double[m * n] : c);
        }
        return VectorProducts.gemm(m, n, k, a, aTransposed, b, bTransposed, bias, c);
    }

    private static double[] rows(int m, int n, int k, double[] a, double[] b, double[] bias, double[] c) {
        for (int i = 0; i < m; i++) {
            Arrays.fill(c, i * n, (i + 1) * n, 0.0);
            int p = 0;
            for (; p + 3 < k; p += 4) {
                int x = i * k + p;
                addScaledRows(n, a[x], a[x + 1], a[x + 2], a[x + 3], b, p * n, c, i * n);
            }
            for (; p < k; p++) {
                addScaledRow(n, a[i * k + p], b, p * n, c, i * n);
            }
            if (bias != null) {
                add(n, bias, 0, c, i * n);
            }
        }
        return c;
    }

    /** {@code c[j] = fma(x3, b[3,j], fma(x2, b[2,j], fma(x1, b[1,j], fma(x0, b[0,j], c[j]))))} for four rows of B. */
    private static void addScaledRows(
            int n, double x0, double x1, double x2, double x3, double[] b, int bo, double[] c, int co) {
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

    /** Packs lines of a whole panel. */
    static void packRows(int lines, double[] from, int start, int ld, double[] to, int at) {
        for (int p = 0; p < lines; p++) {
            for (int j = 0; j < PANEL; j += LANES) {
                DoubleVector.fromArray(SPECIES, from, start + p * ld + j).intoArray(to, at + p * PANEL + j);
            }
        }
    }

    /** Of a panel's vectors, the number that a tile computes, where so many are needed. */
    static int vectors(int needed) {
        return FEW_REGISTERS || needed > 2 ? PANEL / LANES : needed;
    }

    /**
     * {@code C = S + A·B} of a strip and a panel of k lines.
     *
     * <p>The loops count by the index into A, so that JDK 17 checks A's bounds before the loop. After the loop the
     * results are only stored: an add or an fma there made C2 allocate them as objects, in some JVMs or in all.
     *
     * @param rows how many of the strip are wanted; others may be written too
     * @param vectors the same of the panel, as {@link #vectors} says
     */
    static void tile(
            int rows,
            int vectors,
            int k,
            double[] ab,
            int ao,
            int bo,
            double[] s,
            int so,
            int lds,
            double[] c,
            int co,
            int ldc) {
        if (FEW_REGISTERS) {
            tile5x2(k, ab, ao, bo, s, so, lds, c, co, ldc);
        } else if (vectors == 1) {
            tile6x1(k, ab, ao, bo, s, so, lds, c, co, ldc);
        } else if (vectors == 2) {
            tile6x2(k, ab, ao, bo, s, so, lds, c, co, ldc);
        } else if (rows > 4) {
            tile6x4(k, ab, ao, bo, s, so, lds, c, co, ldc);
        } else {
            for (int i = 0; i < rows; i += 2) {
                tile2x4(k, ab, ao + i, bo, s, so + i * lds, lds, c, co + i * ldc, ldc);
            }
        }
    }

    private static void tile6x4(
            int k, double[] ab, int ao, int bo, double[] s, int so, int lds, double[] c, int co, int ldc) {
        DoubleVector c00 = DoubleVector.fromArray(SPECIES, s, so);
        DoubleVector c01 = DoubleVector.fromArray(SPECIES, s, so + LANES);
        DoubleVector c02 = DoubleVector.fromArray(SPECIES, s, so + 2 * LANES);
        DoubleVector c03 = DoubleVector.fromArray(SPECIES, s, so + 3 * LANES);
        DoubleVector c10 = DoubleVector.fromArray(SPECIES, s, so + lds);
        DoubleVector c11 = DoubleVector.fromArray(SPECIES, s, so + lds + LANES);
        DoubleVector c12 = DoubleVector.fromArray(SPECIES, s, so + lds + 2 * LANES);
        DoubleVector c13 = DoubleVector.fromArray(SPECIES, s, so + lds + 3 * LANES);
        DoubleVector c20 = DoubleVector.fromArray(SPECIES, s, so + 2 * lds);
        DoubleVector c21 = DoubleVector.fromArray(SPECIES, s, so + 2 * lds + LANES);
        DoubleVector c22 = DoubleVector.fromArray(SPECIES, s, so + 2 * lds + 2 * LANES);
        DoubleVector c23 = DoubleVector.fromArray(SPECIES, s, so + 2 * lds + 3 * LANES);
        DoubleVector c30 = DoubleVector.fromArray(SPECIES, s, so + 3 * lds);
        DoubleVector c31 = DoubleVector.fromArray(SPECIES, s, so + 3 * lds + LANES);
        DoubleVector c32 = DoubleVector.fromArray(SPECIES, s, so + 3 * lds + 2 * LANES);
        DoubleVector c33 = DoubleVector.fromArray(SPECIES, s, so + 3 * lds + 3 * LANES);
        DoubleVector c40 = DoubleVector.fromArray(SPECIES, s, so + 4 * lds);
        DoubleVector c41 = DoubleVector.fromArray(SPECIES, s, so + 4 * lds + LANES);
        DoubleVector c42 = DoubleVector.fromArray(SPECIES, s, so + 4 * lds + 2 * LANES);
        DoubleVector c43 = DoubleVector.fromArray(SPECIES, s, so + 4 * lds + 3 * LANES);
        DoubleVector c50 = DoubleVector.fromArray(SPECIES, s, so + 5 * lds);
        DoubleVector c51 = DoubleVector.fromArray(SPECIES, s, so + 5 * lds + LANES);
        DoubleVector c52 = DoubleVector.fromArray(SPECIES, s, so + 5 * lds + 2 * LANES);
        DoubleVector c53 = DoubleVector.fromArray(SPECIES, s, so + 5 * lds + 3 * LANES);
        int q = bo;
        for (int p = ao; p < ao + k * STRIP; p += STRIP) {
            DoubleVector b0 = DoubleVector.fromArray(SPECIES, ab, q);
            DoubleVector b1 = DoubleVector.fromArray(SPECIES, ab, q + LANES);
            DoubleVector b2 = DoubleVector.fromArray(SPECIES, ab, q + 2 * LANES);
            DoubleVector b3 = DoubleVector.fromArray(SPECIES, ab, q + 3 * LANES);
            DoubleVector a0 = DoubleVector.broadcast(SPECIES, ab[p]);
            c00 = a0.fma(b0, c00);
            c01 = a0.fma(b1, c01);
            c02 = a0.fma(b2, c02);
            c03 = a0.fma(b3, c03);
            DoubleVector a1 = DoubleVector.broadcast(SPECIES, ab[p + 1]);
            c10 = a1.fma(b0, c10);
            c11 = a1.fma(b1, c11);
            c12 = a1.fma(b2, c12);
            c13 = a1.fma(b3, c13);
            DoubleVector a2 = DoubleVector.broadcast(SPECIES, ab[p + 2]);
            c20 = a2.fma(b0, c20);
            c21 = a2.fma(b1, c21);
            c22 = a2.fma(b2, c22);
            c23 = a2.fma(b3, c23);
            DoubleVector a3 = DoubleVector.broadcast(SPECIES, ab[p + 3]);
            c30 = a3.fma(b0, c30);
            c31 = a3.fma(b1, c31);
            c32 = a3.fma(b2, c32);
            c33 = a3.fma(b3, c33);
            DoubleVector a4 = DoubleVector.broadcast(SPECIES, ab[p + 4]);
            c40 = a4.fma(b0, c40);
            c41 = a4.fma(b1, c41);
            c42 = a4.fma(b2, c42);
            c43 = a4.fma(b3, c43);
            DoubleVector a5 = DoubleVector.broadcast(SPECIES, ab[p + 5]);
            c50 = a5.fma(b0, c50);
            c51 = a5.fma(b1, c51);
            c52 = a5.fma(b2, c52);
            c53 = a5.fma(b3, c53);
            q += PANEL;
        }
        c00.intoArray(c, co);
        c01.intoArray(c, co + LANES);
        c02.intoArray(c, co + 2 * LANES);
        c03.intoArray(c, co + 3 * LANES);
        c10.intoArray(c, co + ldc);
        c11.intoArray(c, co + ldc + LANES);
        c12.intoArray(c, co + ldc + 2 * LANES);
        c13.intoArray(c, co + ldc + 3 * LANES);
        c20.intoArray(c, co + 2 * ldc);
        c21.intoArray(c, co + 2 * ldc + LANES);
        c22.intoArray(c, co + 2 * ldc + 2 * LANES);
        c23.intoArray(c, co + 2 * ldc + 3 * LANES);
        c30.intoArray(c, co + 3 * ldc);
        c31.intoArray(c, co + 3 * ldc + LANES);
        c32.intoArray(c, co + 3 * ldc + 2 * LANES);
        c33.intoArray(c, co + 3 * ldc + 3 * LANES);
        c40.intoArray(c, co + 4 * ldc);
        c41.intoArray(c, co + 4 * ldc + LANES);
        c42.intoArray(c, co + 4 * ldc + 2 * LANES);
        c43.intoArray(c, co + 4 * ldc + 3 * LANES);
        c50.intoArray(c, co + 5 * ldc);
        c51.intoArray(c, co + 5 * ldc + LANES);
        c52.intoArray(c, co + 5 * ldc + 2 * LANES);
        c53.intoArray(c, co + 5 * ldc + 3 * LANES);
    }

    private static void tile2x4(
            int k, double[] ab, int ao, int bo, double[] s, int so, int lds, double[] c, int co, int ldc) {
        DoubleVector c00 = DoubleVector.fromArray(SPECIES, s, so);
        DoubleVector c01 = DoubleVector.fromArray(SPECIES, s, so + LANES);
        DoubleVector c02 = DoubleVector.fromArray(SPECIES, s, so + 2 * LANES);
        DoubleVector c03 = DoubleVector.fromArray(SPECIES, s, so + 3 * LANES);
        DoubleVector c10 = DoubleVector.fromArray(SPECIES, s, so + lds);
        DoubleVector c11 = DoubleVector.fromArray(SPECIES, s, so + lds + LANES);
        DoubleVector c12 = DoubleVector.fromArray(SPECIES, s, so + lds + 2 * LANES);
        DoubleVector c13 = DoubleVector.fromArray(SPECIES, s, so + lds + 3 * LANES);
        int q = bo;
        for (int p = ao; p < ao + k * STRIP; p += STRIP) {
            DoubleVector b0 = DoubleVector.fromArray(SPECIES, ab, q);
            DoubleVector b1 = DoubleVector.fromArray(SPECIES, ab, q + LANES);
            DoubleVector b2 = DoubleVector.fromArray(SPECIES, ab, q + 2 * LANES);
            DoubleVector b3 = DoubleVector.fromArray(SPECIES, ab, q + 3 * LANES);
            DoubleVector a0 = DoubleVector.broadcast(SPECIES, ab[p]);
            c00 = a0.fma(b0, c00);
            c01 = a0.fma(b1, c01);
            c02 = a0.fma(b2, c02);
            c03 = a0.fma(b3, c03);
            DoubleVector a1 = DoubleVector.broadcast(SPECIES, ab[p + 1]);
            c10 = a1.fma(b0, c10);
            c11 = a1.fma(b1, c11);
            c12 = a1.fma(b2, c12);
            c13 = a1.fma(b3, c13);
            q += PANEL;
        }
        c00.intoArray(c, co);
        c01.intoArray(c, co + LANES);
        c02.intoArray(c, co + 2 * LANES);
        c03.intoArray(c, co + 3 * LANES);
        c10.intoArray(c, co + ldc);
        c11.intoArray(c, co + ldc + LANES);
        c12.intoArray(c, co + ldc + 2 * LANES);
        c13.intoArray(c, co + ldc + 3 * LANES);
    }

    private static void tile5x2(
            int k, double[] ab, int ao, int bo, double[] s, int so, int lds, double[] c, int co, int ldc) {
        DoubleVector c00 = DoubleVector.fromArray(SPECIES, s, so);
        DoubleVector c01 = DoubleVector.fromArray(SPECIES, s, so + LANES);
        DoubleVector c10 = DoubleVector.fromArray(SPECIES, s, so + lds);
        DoubleVector c11 = DoubleVector.fromArray(SPECIES, s, so + lds + LANES);
        DoubleVector c20 = DoubleVector.fromArray(SPECIES, s, so + 2 * lds);
        DoubleVector c21 = DoubleVector.fromArray(SPECIES, s, so + 2 * lds + LANES);
        DoubleVector c30 = DoubleVector.fromArray(SPECIES, s, so + 3 * lds);
        DoubleVector c31 = DoubleVector.fromArray(SPECIES, s, so + 3 * lds + LANES);
        DoubleVector c40 = DoubleVector.fromArray(SPECIES, s, so + 4 * lds);
        DoubleVector c41 = DoubleVector.fromArray(SPECIES, s, so + 4 * lds + LANES);
        int q = bo;
        for (int p = ao; p < ao + k * STRIP; p += STRIP) {
            DoubleVector b0 = DoubleVector.fromArray(SPECIES, ab, q);
            DoubleVector b1 = DoubleVector.fromArray(SPECIES, ab, q + LANES);
            DoubleVector a0 = DoubleVector.broadcast(SPECIES, ab[p]);
            c00 = a0.fma(b0, c00);
            c01 = a0.fma(b1, c01);
            DoubleVector a1 = DoubleVector.broadcast(SPECIES, ab[p + 1]);
            c10 = a1.fma(b0, c10);
            c11 = a1.fma(b1, c11);
            DoubleVector a2 = DoubleVector.broadcast(SPECIES, ab[p + 2]);
            c20 = a2.fma(b0, c20);
            c21 = a2.fma(b1, c21);
            DoubleVector a3 = DoubleVector.broadcast(SPECIES, ab[p + 3]);
            c30 = a3.fma(b0, c30);
            c31 = a3.fma(b1, c31);
            DoubleVector a4 = DoubleVector.broadcast(SPECIES, ab[p + 4]);
            c40 = a4.fma(b0, c40);
            c41 = a4.fma(b1, c41);
            q += PANEL;
        }
        c00.intoArray(c, co);
        c01.intoArray(c, co + LANES);
        c10.intoArray(c, co + ldc);
        c11.intoArray(c, co + ldc + LANES);
        c20.intoArray(c, co + 2 * ldc);
        c21.intoArray(c, co + 2 * ldc + LANES);
        c30.intoArray(c, co + 3 * ldc);
        c31.intoArray(c, co + 3 * ldc + LANES);
        c40.intoArray(c, co + 4 * ldc);
        c41.intoArray(c, co + 4 * ldc + LANES);
    }

    private static void tile6x2(
            int k, double[] ab, int ao, int bo, double[] s, int so, int lds, double[] c, int co, int ldc) {
        DoubleVector c00 = DoubleVector.fromArray(SPECIES, s, so);
        DoubleVector c01 = DoubleVector.fromArray(SPECIES, s, so + LANES);
        DoubleVector c10 = DoubleVector.fromArray(SPECIES, s, so + lds);
        DoubleVector c11 = DoubleVector.fromArray(SPECIES, s, so + lds + LANES);
        DoubleVector c20 = DoubleVector.fromArray(SPECIES, s, so + 2 * lds);
        DoubleVector c21 = DoubleVector.fromArray(SPECIES, s, so + 2 * lds + LANES);
        DoubleVector c30 = DoubleVector.fromArray(SPECIES, s, so + 3 * lds);
        DoubleVector c31 = DoubleVector.fromArray(SPECIES, s, so + 3 * lds + LANES);
        DoubleVector c40 = DoubleVector.fromArray(SPECIES, s, so + 4 * lds);
        DoubleVector c41 = DoubleVector.fromArray(SPECIES, s, so + 4 * lds + LANES);
        DoubleVector c50 = DoubleVector.fromArray(SPECIES, s, so + 5 * lds);
        DoubleVector c51 = DoubleVector.fromArray(SPECIES, s, so + 5 * lds + LANES);
        int q = bo;
        for (int p = ao; p < ao + k * STRIP; p += STRIP) {
            DoubleVector b0 = DoubleVector.fromArray(SPECIES, ab, q);
            DoubleVector b1 = DoubleVector.fromArray(SPECIES, ab, q + LANES);
            DoubleVector a0 = DoubleVector.broadcast(SPECIES, ab[p]);
            c00 = a0.fma(b0, c00);
            c01 = a0.fma(b1, c01);
            DoubleVector a1 = DoubleVector.broadcast(SPECIES, ab[p + 1]);
            c10 = a1.fma(b0, c10);
            c11 = a1.fma(b1, c11);
            DoubleVector a2 = DoubleVector.broadcast(SPECIES, ab[p + 2]);
            c20 = a2.fma(b0, c20);
            c21 = a2.fma(b1, c21);
            DoubleVector a3 = DoubleVector.broadcast(SPECIES, ab[p + 3]);
            c30 = a3.fma(b0, c30);
            c31 = a3.fma(b1, c31);
            DoubleVector a4 = DoubleVector.broadcast(SPECIES, ab[p + 4]);
            c40 = a4.fma(b0, c40);
            c41 = a4.fma(b1, c41);
            DoubleVector a5 = DoubleVector.broadcast(SPECIES, ab[p + 5]);
            c50 = a5.fma(b0, c50);
            c51 = a5.fma(b1, c51);
            q += PANEL;
        }
        c00.intoArray(c, co);
        c01.intoArray(c, co + LANES);
        c10.intoArray(c, co + ldc);
        c11.intoArray(c, co + ldc + LANES);
        c20.intoArray(c, co + 2 * ldc);
        c21.intoArray(c, co + 2 * ldc + LANES);
        c30.intoArray(c, co + 3 * ldc);
        c31.intoArray(c, co + 3 * ldc + LANES);
        c40.intoArray(c, co + 4 * ldc);
        c41.intoArray(c, co + 4 * ldc + LANES);
        c50.intoArray(c, co + 5 * ldc);
        c51.intoArray(c, co + 5 * ldc + LANES);
    }

    private static void tile6x1(
            int k, double[] ab, int ao, int bo, double[] s, int so, int lds, double[] c, int co, int ldc) {
        DoubleVector c00 = DoubleVector.fromArray(SPECIES, s, so);
        DoubleVector c10 = DoubleVector.fromArray(SPECIES, s, so + lds);
        DoubleVector c20 = DoubleVector.fromArray(SPECIES, s, so + 2 * lds);
        DoubleVector c30 = DoubleVector.fromArray(SPECIES, s, so + 3 * lds);
        DoubleVector c40 = DoubleVector.fromArray(SPECIES, s, so + 4 * lds);
        DoubleVector c50 = DoubleVector.fromArray(SPECIES, s, so + 5 * lds);
        int q = bo;
        for (int p = ao; p < ao + k * STRIP; p += STRIP) {
            DoubleVector b0 = DoubleVector.fromArray(SPECIES, ab, q);
            DoubleVector a0 = DoubleVector.broadcast(SPECIES, ab[p]);
            c00 = a0.fma(b0, c00);
            DoubleVector a1 = DoubleVector.broadcast(SPECIES, ab[p + 1]);
            c10 = a1.fma(b0, c10);
            DoubleVector a2 = DoubleVector.broadcast(SPECIES, ab[p + 2]);
            c20 = a2.fma(b0, c20);
            DoubleVector a3 = DoubleVector.broadcast(SPECIES, ab[p + 3]);
            c30 = a3.fma(b0, c30);
            DoubleVector a4 = DoubleVector.broadcast(SPECIES, ab[p + 4]);
            c40 = a4.fma(b0, c40);
            DoubleVector a5 = DoubleVector.broadcast(SPECIES, ab[p + 5]);
            c50 = a5.fma(b0, c50);
            q += PANEL;
        }
        c00.intoArray(c, co);
        c10.intoArray(c, co + ldc);
        c20.intoArray(c, co + 2 * ldc);
        c30.intoArray(c, co + 3 * ldc);
        c40.intoArray(c, co + 4 * ldc);
        c50.intoArray(c, co + 5 * ldc);
    }

    @Override
    public String toString() {
        return "vector kernels, " + LANES + " lanes";
    }

    // Batch norm and ReLU. A kernel goes along the rows of a block in groups of as many columns as there are lanes. It
    // takes two or four rows at a time where it forms sums, and four where it writes entries, so that the per-column
    // values are loaded once for all of them. Loops of two rounds, nested ones too, are always unrolled. The last rows,
    // and matrices with fewer columns than lanes, go to the scalar kernels. (Masked loads and stores are many times
    // slower on JDK 17.)
    //
    // If the number of columns is no multiple of the lanes, the last group ends at the last column and overlaps the one
    // before. Entries in the overlap are computed twice, so batch norm's results must not then overwrite its inputs
    // (ReLU's gradient may: masking is idempotent). Sums are formed in a copy, of which only the columns outside the
    // overlap are copied back.
    //
    // Vectors are passed to no methods but their own module's, which C2 must inline. It may not inline a helper of ours
    // into a caller that has grown large, and a vector passed to a method that is not inlined is allocated as an
    // object. So the errors of sums (DoubleDouble.sumError) are written out, "rounded" being what the sum has taken in
    // of its second term.
    //
    // A value that a loop carries from one row to the next is always an argument of a call, never its receiver: as
    // receiver it was allocated in one JVM of ten.
    //
    // In batch norm's sums about half of the subtractions a − b are minus.fma(b, a), minus being −1, which rounds the
    // same: AMD's processors have adders and multipliers apart, and the adders have the more to do.

    private static final ScalarKernels SCALAR = new ScalarKernels();

    /** Pairs of rows that batch norm's sums go along at a time: with four lanes, two pairs are slower. */
    private static final int PAIRS = LANES == 8 ? 2 : 1;

    @Override
    void sumColumns(int m, int n, double[] a, DoubleDoubles sums) {
        int vectorized = SPECIES.loopBound(n);
        int paired = m - m % 2;
        for (int i = 0; i < paired; i += 2) {
            addTwoRows(vectorized, a, i * n, n, sums);
        }
        for (int i = 0; i < m; i++) {
            ScalarKernels.addRow(i < paired ? vectorized : 0, n, a, i * n, sums.hi(), sums.lo());
        }
    }

    private static void addTwoRows(int n, double[] a, int at, int lda, DoubleDoubles sums) {
        for (int j = 0; j < n; j += LANES) {
            DoubleVector sum = DoubleVector.fromArray(SPECIES, sums.hi(), j);
            DoubleVector error = DoubleVector.fromArray(SPECIES, sums.lo(), j);
            for (int i = 0, k = at + j; i < 2; i++, k += lda) {
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
    void sumDeviations(
            int m, int n, double[] h, int at, int ldh, double[] pivot, DoubleDoubles sum, DoubleDoubles squares) {
        if (n < LANES) {
            SCALAR.sumDeviations(m, n, h, at, ldh, pivot, sum, squares);
            return;
        }
        int rest = n % LANES;
        addDeviations(m, n - rest, h, at, ldh, pivot, sum, squares);
        if (rest > 0) {
            int j = n - LANES;
            DoubleDoubles lastSum = sum.copyOfRange(j, n);
            DoubleDoubles lastSquares = squares.copyOfRange(j, n);
            addDeviations(m, LANES, h, at + j, ldh, Arrays.copyOfRange(pivot, j, n), lastSum, lastSquares);
            lastSum.copyLast(rest, sum);
            lastSquares.copyLast(rest, squares);
        }
    }

    /** Of columns in whole groups. */
    private static void addDeviations(
            int m, int n, double[] h, int at, int ldh, double[] pivot, DoubleDoubles sum, DoubleDoubles squares) {
        int inPairs = m - m % (2 * PAIRS);
        for (int i = 0; i < inPairs; i += 2 * PAIRS) {
            addRowsOfDeviations(n, h, at + i * ldh, ldh, pivot, sum, squares);
        }
        if (inPairs < m) {
            SCALAR.sumDeviations(m - inPairs, n, h, at + inPairs * ldh, ldh, pivot, sum, squares);
        }
    }

    private static void addRowsOfDeviations(
            int n, double[] h, int at, int ldh, double[] pivot, DoubleDoubles sums, DoubleDoubles squares) {
        DoubleVector minus = DoubleVector.broadcast(SPECIES, -1.0);
        for (int j = 0; j < n; j += LANES) {
            DoubleVector c = DoubleVector.fromArray(SPECIES, pivot, j);
            DoubleVector sum = DoubleVector.fromArray(SPECIES, sums.hi(), j);
            DoubleVector sumLow = DoubleVector.fromArray(SPECIES, sums.lo(), j);
            DoubleVector squareSum = DoubleVector.fromArray(SPECIES, squares.hi(), j);
            DoubleVector squareSumLow = DoubleVector.fromArray(SPECIES, squares.lo(), j);
            for (int i = 0; i < PAIRS; i++) {
                for (int l = 0; l < 2; l++) {
                    int k = at + (2 * i + l) * ldh + j;
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
            sum.intoArray(sums.hi(), j);
            sumLow.intoArray(sums.lo(), j);
            squareSum.intoArray(squares.hi(), j);
            squareSumLow.intoArray(squares.lo(), j);
        }
    }

    @Override
    void normalize(
            int m,
            int n,
            double[] h,
            int at,
            int ldh,
            double[] pivot,
            DoubleDoubles factor,
            DoubleDoubles offset,
            double[] anchor,
            double least,
            double[] y) {
        if (n < LANES) {
            SCALAR.normalize(m, n, h, at, ldh, pivot, factor, offset, anchor, least, y);
            return;
        }
        int rest = n % LANES;
        int inFours = m - m % 4;
        for (int i = 0; i < inFours; i += 4) {
            int row = at + i * ldh;
            normalizeFourRows(0, n - rest, h, row, ldh, pivot, factor, offset, anchor, least, y);
            if (rest > 0) {
                normalizeFourRows(n - LANES, n, h, row, ldh, pivot, factor, offset, anchor, least, y);
            }
        }
        if (inFours < m) {
            int row = at + inFours * ldh;
            SCALAR.normalize(m - inFours, n, h, row, ldh, pivot, factor, offset, anchor, least, y);
        }
    }

    /** The columns from one to another, in whole groups. */
    private static void normalizeFourRows(
            int from,
            int to,
            double[] h,
            int at,
            int ldh,
            double[] pivot,
            DoubleDoubles factor,
            DoubleDoubles offset,
            double[] anchor,
            double least,
            double[] y) {
        DoubleVector lowest = DoubleVector.broadcast(SPECIES, least);
        for (int j = from; j < to; j += LANES) {
            DoubleVector c = DoubleVector.fromArray(SPECIES, pivot, j);
            DoubleVector f = DoubleVector.fromArray(SPECIES, factor.hi(), j);
            DoubleVector fLow = DoubleVector.fromArray(SPECIES, factor.lo(), j);
            DoubleVector b = DoubleVector.fromArray(SPECIES, offset.hi(), j);
            DoubleVector bLow = DoubleVector.fromArray(SPECIES, offset.lo(), j);
            DoubleVector start = DoubleVector.fromArray(SPECIES, anchor, j);
            for (int i = 0; i < 2; i++) {
                for (int l = 0; l < 2; l++) {
                    int k = at + (2 * i + l) * ldh + j;
                    DoubleVector d = DoubleVector.fromArray(SPECIES, h, k).sub(c);
                    DoubleVector sum = f.fma(d, b);
                    DoubleVector low = f.fma(d, b.sub(sum)).add(fLow.fma(d, bLow));
                    sum.sub(start).add(low).max(lowest).intoArray(y, k);
                }
            }
        }
    }

    @Override
    void sumGradients(
            int m,
            int n,
            double[] h,
            int at,
            int ldh,
            double[] dy,
            double[] pivot,
            DoubleDoubles sum,
            DoubleDoubles products,
            double[] squares) {
        if (n < LANES) {
            SCALAR.sumGradients(m, n, h, at, ldh, dy, pivot, sum, products, squares);
            return;
        }
        int rest = n % LANES;
        addGradients(m, n - rest, h, at, ldh, dy, pivot, sum, products, squares);
        if (rest > 0) {
            int j = n - LANES;
            DoubleDoubles lastSum = sum.copyOfRange(j, n);
            DoubleDoubles lastProducts = products.copyOfRange(j, n);
            double[] lastSquares = Arrays.copyOfRange(squares, j, n);
            addGradients(
                    m, LANES, h, at + j, ldh, dy, Arrays.copyOfRange(pivot, j, n), lastSum, lastProducts, lastSquares);
            lastSum.copyLast(rest, sum);
            lastProducts.copyLast(rest, products);
            System.arraycopy(lastSquares, LANES - rest, squares, n - rest, rest);
        }
    }

    /** Of columns in whole groups. */
    private static void addGradients(
            int m,
            int n,
            double[] h,
            int at,
            int ldh,
            double[] dy,
            double[] pivot,
            DoubleDoubles sum,
            DoubleDoubles products,
            double[] squares) {
        int inPairs = m - m % (2 * PAIRS);
        for (int i = 0; i < inPairs; i += 2 * PAIRS) {
            addRowsOfGradients(n, h, at + i * ldh, ldh, dy, pivot, sum, products, squares);
        }
        if (inPairs < m) {
            SCALAR.sumGradients(m - inPairs, n, h, at + inPairs * ldh, ldh, dy, pivot, sum, products, squares);
        }
    }

    private static void addRowsOfGradients(
            int n,
            double[] h,
            int at,
            int ldh,
            double[] dy,
            double[] pivot,
            DoubleDoubles sums,
            DoubleDoubles products,
            double[] squares) {
        DoubleVector minus = DoubleVector.broadcast(SPECIES, -1.0);
        for (int j = 0; j < n; j += LANES) {
            DoubleVector c = DoubleVector.fromArray(SPECIES, pivot, j);
            DoubleVector sum = DoubleVector.fromArray(SPECIES, sums.hi(), j);
            DoubleVector sumLow = DoubleVector.fromArray(SPECIES, sums.lo(), j);
            DoubleVector productSum = DoubleVector.fromArray(SPECIES, products.hi(), j);
            DoubleVector productSumLow = DoubleVector.fromArray(SPECIES, products.lo(), j);
            DoubleVector squareSum = DoubleVector.fromArray(SPECIES, squares, j);
            for (int i = 0; i < PAIRS; i++) {
                for (int l = 0; l < 2; l++) {
                    int k = at + (2 * i + l) * ldh + j;
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
            sum.intoArray(sums.hi(), j);
            sumLow.intoArray(sums.lo(), j);
            productSum.intoArray(products.hi(), j);
            productSumLow.intoArray(products.lo(), j);
            squareSum.intoArray(squares, j);
        }
    }

    @Override
    void differentiate(
            int m,
            int n,
            double[] h,
            int at,
            int ldh,
            double[] dy,
            double[] pivot,
            DoubleDoubles factor,
            DoubleDoubles slope,
            DoubleDoubles offset,
            double[] anchor,
            double[] dh) {
        if (n < LANES) {
            SCALAR.differentiate(m, n, h, at, ldh, dy, pivot, factor, slope, offset, anchor, dh);
            return;
        }
        int rest = n % LANES;
        int inFours = m - m % 4;
        for (int i = 0; i < inFours; i += 4) {
            int row = at + i * ldh;
            differentiateFourRows(0, n - rest, h, row, ldh, dy, pivot, factor, slope, offset, anchor, dh);
            if (rest > 0) {
                differentiateFourRows(n - LANES, n, h, row, ldh, dy, pivot, factor, slope, offset, anchor, dh);
            }
        }
        if (inFours < m) {
            int row = at + inFours * ldh;
            SCALAR.differentiate(m - inFours, n, h, row, ldh, dy, pivot, factor, slope, offset, anchor, dh);
        }
    }

    /** The columns from one to another, in whole groups. */
    private static void differentiateFourRows(
            int from,
            int to,
            double[] h,
            int at,
            int ldh,
            double[] dy,
            double[] pivot,
            DoubleDoubles factor,
            DoubleDoubles slope,
            DoubleDoubles offset,
            double[] anchor,
            double[] dh) {
        for (int j = from; j < to; j += LANES) {
            DoubleVector c = DoubleVector.fromArray(SPECIES, pivot, j);
            DoubleVector f = DoubleVector.fromArray(SPECIES, factor.hi(), j);
            DoubleVector fLow = DoubleVector.fromArray(SPECIES, factor.lo(), j);
            DoubleVector s = DoubleVector.fromArray(SPECIES, slope.hi(), j);
            DoubleVector sLow = DoubleVector.fromArray(SPECIES, slope.lo(), j);
            DoubleVector b = DoubleVector.fromArray(SPECIES, offset.hi(), j);
            DoubleVector bLow = DoubleVector.fromArray(SPECIES, offset.lo(), j);
            DoubleVector start = DoubleVector.fromArray(SPECIES, anchor, j);
            for (int i = 0; i < 2; i++) {
                for (int l = 0; l < 2; l++) {
                    int k = at + (2 * i + l) * ldh + j;
                    DoubleVector term = DoubleVector.fromArray(SPECIES, dy, k);
                    DoubleVector d = DoubleVector.fromArray(SPECIES, h, k).sub(c);
                    DoubleVector first = f.fma(term, b);
                    DoubleVector firstLow = f.fma(term, b.sub(first)).add(fLow.fma(term, bLow));
                    DoubleVector next = s.fma(d, first);
                    DoubleVector low = s.fma(d, first.sub(next)).add(sLow.fma(d, firstLow));
                    next.sub(start).add(low).intoArray(dh, k);
                }
            }
        }
    }

    @Override
    void normalizeBy(
            int m,
            int n,
            double[] h,
            int at,
            int ldh,
            double[] mean,
            DoubleDoubles factor,
            double[] beta,
            double least,
            double[] y) {
        if (n < LANES) {
            SCALAR.normalizeBy(m, n, h, at, ldh, mean, factor, beta, least, y);
            return;
        }
        int rest = n % LANES;
        for (int i = 0; i < m; i++) {
            int row = at + i * ldh;
            normalizeRowBy(0, n - rest, h, row, mean, factor, beta, least, y);
            if (rest > 0) {
                normalizeRowBy(n - LANES, n, h, row, mean, factor, beta, least, y);
            }
        }
    }

    /** The columns from one to another, in whole groups. */
    private static void normalizeRowBy(
            int from,
            int to,
            double[] h,
            int at,
            double[] mean,
            DoubleDoubles factor,
            double[] beta,
            double least,
            double[] y) {
        DoubleVector lowest = DoubleVector.broadcast(SPECIES, least);
        for (int j = from; j < to; j += LANES) {
            DoubleVector c = DoubleVector.fromArray(SPECIES, mean, j);
            DoubleVector f = DoubleVector.fromArray(SPECIES, factor.hi(), j);
            DoubleVector fLow = DoubleVector.fromArray(SPECIES, factor.lo(), j);
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
    void reluBackward(int m, int n, double[] y, int at, int ld, double[] da, double[] dy) {
        if (n < LANES || LANES == 2) { // of two lanes, C2 keeps masks as objects
            SCALAR.reluBackward(m, n, y, at, ld, da, dy);
            return;
        }
        int rest = n % LANES;
        for (int i = 0; i < m; i++) {
            reluBackward(0, n - rest, y, at + i * ld, da, dy);
            if (rest > 0) {
                reluBackward(n - LANES, n, y, at + i * ld, da, dy);
            }
        }
    }

    /** The columns from one to another, in whole groups. */
    private static void reluBackward(int from, int to, double[] y, int at, double[] da, double[] dy) {
        for (int j = from; j < to; j += LANES) {
            DoubleVector x = DoubleVector.fromArray(SPECIES, y, at + j);
            DoubleVector zero = DoubleVector.fromArray(SPECIES, ZEROS, 0);
            zero.blend(DoubleVector.fromArray(SPECIES, da, at + j), x.compare(VectorOperators.GT, zero))
                    .blend(x, x.compare(VectorOperators.NE, x))
                    .intoArray(dy, at + j);
        }
    }
}
