package io.github.backnorm.internal.products;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * The innermost loops of {@link VectorDoubles}. They compute a tile of C, in registers, from a packed strip of A and a
 * packed panel of B. A line has {@link #STRIP} entries of A and {@link #PANEL} of B.
 *
 * <p>The species is a static final constant, and vectors are local variables of small static methods. Otherwise C2
 * keeps vectors as objects, a hundred times slower. So the tiles are written out, one method for each shape: {@link
 * #tile6x4} has six rows and four vectors.
 */
final class VectorTile {
    private static final VectorSpecies<Double> SPECIES = DoubleVector.SPECIES_PREFERRED;
    static final int LANES = SPECIES.length();

    /** Four lanes are AVX2 as a rule, with 16 registers. AVX-512 and NEON have 32. */
    static final boolean FEW_REGISTERS = LANES == 4;

    /**
     * Rows of a tile. Its 6×4 or 5×2 chains leave registers for what C2 loads ahead. Of 6×2 chains in 16 registers, JDK
     * 25 keeps one in memory, and the tile takes twice as long.
     */
    static final int STRIP = FEW_REGISTERS ? 5 : 6;

    /** Columns of a tile. */
    static final int PANEL = (FEW_REGISTERS ? 2 : 4) * LANES;

    private static final double[] ZEROS = new double[PANEL];

    private VectorTile() {}

    /** Packs lines of a whole panel. */
    static void packRows(int lines, double[] from, int start, int ld, double[] to, int at) {
        for (int p = 0; p < lines; p++) {
            for (int j = 0; j < PANEL; j += LANES) {
                DoubleVector.fromArray(SPECIES, from, start + p * ld + j).intoArray(to, at + p * PANEL + j);
            }
        }
    }

    /** {@code c[co + j] += row[from + j]} for n entries. */
    static void addRow(int n, double[] row, int from, double[] c, int co) {
        int vectorized = SPECIES.loopBound(n);
        for (int j = 0; j < vectorized; j += LANES) {
            DoubleVector.fromArray(SPECIES, c, co + j)
                    .add(DoubleVector.fromArray(SPECIES, row, from + j))
                    .intoArray(c, co + j);
        }
        ScalarProducts.addRow(n - vectorized, row, from + vectorized, c, co + vectorized);
    }

    /** The number of vectors that a tile computes for so many columns. */
    static int vectors(int columns) {
        int needed = (columns + LANES - 1) / LANES;
        return FEW_REGISTERS || needed > 2 ? PANEL / LANES : needed;
    }

    /**
     * {@code C = S + A·B} of a strip and a panel of {@code lines} lines, where S is what is in C, or 0.
     *
     * <p>The loops count by the index into A, so that JDK 17 checks A's bounds before the loop. After the loop the
     * results are only stored: an add or an fma there made C2 allocate them as objects, in some JVMs or in all.
     *
     * @param rows the rows of the strip that are needed; others may be written too
     * @param vectors the vectors of the panel that are computed, as {@link #vectors} says
     * @param ab the strip from ao on, the panel from bo on
     * @param zero whether S is 0
     */
    static void multiply(
            int rows, int vectors, int lines, double[] ab, int ao, int bo, boolean zero, double[] c, int co, int ldc) {
        double[] s = zero ? ZEROS : c;
        int so = zero ? 0 : co;
        int lds = zero ? 0 : ldc;
        if (FEW_REGISTERS) {
            tile5x2(lines, ab, ao, bo, s, so, lds, c, co, ldc);
        } else if (vectors == 1) {
            tile6x1(lines, ab, ao, bo, s, so, lds, c, co, ldc);
        } else if (vectors == 2) {
            tile6x2(lines, ab, ao, bo, s, so, lds, c, co, ldc);
        } else if (rows > 4) {
            tile6x4(lines, ab, ao, bo, s, so, lds, c, co, ldc);
        } else {
            for (int i = 0; i < rows; i += 2) {
                tile2x4(lines, ab, ao + i, bo, s, so + i * lds, lds, c, co + i * ldc, ldc);
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
}
