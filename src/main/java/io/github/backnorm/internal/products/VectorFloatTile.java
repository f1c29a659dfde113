package io.github.backnorm.internal.products;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * The innermost loops of {@link VectorFloats}, written as those of {@link VectorTile} are. A tile is computed from 0
 * and stored as floats.
 */
final class VectorFloatTile {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();

    private static final VectorSpecies<Double> WIDE = DoubleVector.SPECIES_PREFERRED;
    private static final int HALF = WIDE.length();

    /** Whether vectors are converted; two doubles become floats in a vector of another width, an object. */
    static final boolean CONVERTS = HALF > 2;

    private static final int STRIP = VectorTile.STRIP;

    /** Columns of a tile. */
    static final int PANEL = (VectorTile.FEW_REGISTERS ? 2 : 4) * LANES;

    private static final float[] ZEROS = new float[LANES];

    private VectorFloatTile() {}

    /** As {@link ScalarFloats#add}. */
    static void add(int n, float[] sums, int from, boolean first, double[] c, int co) {
        int vectorized = CONVERTS ? SPECIES.loopBound(n) : 0;
        if (first) {
            for (int j = 0; j < vectorized; j += LANES) {
                FloatVector narrow = FloatVector.fromArray(SPECIES, sums, from + j);
                ((DoubleVector) narrow.convertShape(VectorOperators.F2D, WIDE, 0)).intoArray(c, co + j);
                ((DoubleVector) narrow.convertShape(VectorOperators.F2D, WIDE, 1)).intoArray(c, co + j + HALF);
            }
        } else {
            for (int j = 0; j < vectorized; j += LANES) {
                FloatVector narrow = FloatVector.fromArray(SPECIES, sums, from + j);
                DoubleVector low = (DoubleVector) narrow.convertShape(VectorOperators.F2D, WIDE, 0);
                DoubleVector high = (DoubleVector) narrow.convertShape(VectorOperators.F2D, WIDE, 1);
                DoubleVector.fromArray(WIDE, c, co + j).add(low).intoArray(c, co + j);
                DoubleVector.fromArray(WIDE, c, co + j + HALF).add(high).intoArray(c, co + j + HALF);
            }
        }
        ScalarFloats.add(n - vectorized, sums, from + vectorized, first, c, co + vectorized);
    }

    /** Rounds n numbers to floats. What lies behind them in {@code to}, up to a vector, is written too. */
    static void round(int n, double[] from, int start, float[] to, int at) {
        int vectorized = CONVERTS ? WIDE.loopBound(n) : 0;
        for (int j = 0; j < vectorized; j += HALF) {
            DoubleVector wide = DoubleVector.fromArray(WIDE, from, start + j);
            ((FloatVector) wide.convertShape(VectorOperators.D2F, SPECIES, 0)).intoArray(to, at + j);
        }
        for (int j = vectorized; j < n; j++) {
            to[at + j] = (float) from[start + j];
        }
    }

    /** Packs lines of a whole strip whose entries lie side by side. Up to two lines behind them are written too. */
    static void packLines(int lines, double[] from, int start, int ld, float[] to, int at) {
        for (int p = 0; p < lines; p++) {
            for (int r = 0; r < STRIP; r += HALF) {
                DoubleVector wide = DoubleVector.fromArray(WIDE, from, start + p * ld + r);
                ((FloatVector) wide.convertShape(VectorOperators.D2F, SPECIES, 0)).intoArray(to, at + p * STRIP + r);
            }
        }
    }

    /** As {@link ScalarFloats#addOneByFour}; n is a multiple of 16. */
    static void addOneByFour(
            int n, float x0, float x1, float x2, float x3, float[] b0, float[] b1, float[] b2, float[] b3, float[] c) {
        FloatVector v0 = FloatVector.broadcast(SPECIES, x0);
        FloatVector v1 = FloatVector.broadcast(SPECIES, x1);
        FloatVector v2 = FloatVector.broadcast(SPECIES, x2);
        FloatVector v3 = FloatVector.broadcast(SPECIES, x3);
        for (int j = 0; j < n; j += LANES) {
            FloatVector sum = FloatVector.fromArray(SPECIES, c, j);
            sum = v0.fma(FloatVector.fromArray(SPECIES, b0, j), sum);
            sum = v1.fma(FloatVector.fromArray(SPECIES, b1, j), sum);
            sum = v2.fma(FloatVector.fromArray(SPECIES, b2, j), sum);
            sum = v3.fma(FloatVector.fromArray(SPECIES, b3, j), sum);
            sum.intoArray(c, j);
        }
    }

    /** The tile at co, of a strip from ao on and a panel from bo on. */
    static void multiply(int columns, int lines, float[] ab, int ao, int bo, int co) {
        if (VectorTile.FEW_REGISTERS) {
            tile5x2(lines, ab, ao, bo, co);
        } else if (columns <= LANES) {
            tile6x1(lines, ab, ao, bo, co);
        } else {
            tile6x4(lines, ab, ao, bo, co);
        }
    }

    private static void tile6x4(int k, float[] ab, int ao, int bo, int co) {
        FloatVector c00 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c01 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c02 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c03 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c10 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c11 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c12 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c13 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c20 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c21 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c22 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c23 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c30 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c31 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c32 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c33 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c40 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c41 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c42 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c43 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c50 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c51 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c52 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c53 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        int q = bo;
        for (int p = ao; p < ao + k * STRIP; p += STRIP) {
            FloatVector b0 = FloatVector.fromArray(SPECIES, ab, q);
            FloatVector b1 = FloatVector.fromArray(SPECIES, ab, q + LANES);
            FloatVector b2 = FloatVector.fromArray(SPECIES, ab, q + 2 * LANES);
            FloatVector b3 = FloatVector.fromArray(SPECIES, ab, q + 3 * LANES);
            FloatVector a0 = FloatVector.broadcast(SPECIES, ab[p]);
            c00 = a0.fma(b0, c00);
            c01 = a0.fma(b1, c01);
            c02 = a0.fma(b2, c02);
            c03 = a0.fma(b3, c03);
            FloatVector a1 = FloatVector.broadcast(SPECIES, ab[p + 1]);
            c10 = a1.fma(b0, c10);
            c11 = a1.fma(b1, c11);
            c12 = a1.fma(b2, c12);
            c13 = a1.fma(b3, c13);
            FloatVector a2 = FloatVector.broadcast(SPECIES, ab[p + 2]);
            c20 = a2.fma(b0, c20);
            c21 = a2.fma(b1, c21);
            c22 = a2.fma(b2, c22);
            c23 = a2.fma(b3, c23);
            FloatVector a3 = FloatVector.broadcast(SPECIES, ab[p + 3]);
            c30 = a3.fma(b0, c30);
            c31 = a3.fma(b1, c31);
            c32 = a3.fma(b2, c32);
            c33 = a3.fma(b3, c33);
            FloatVector a4 = FloatVector.broadcast(SPECIES, ab[p + 4]);
            c40 = a4.fma(b0, c40);
            c41 = a4.fma(b1, c41);
            c42 = a4.fma(b2, c42);
            c43 = a4.fma(b3, c43);
            FloatVector a5 = FloatVector.broadcast(SPECIES, ab[p + 5]);
            c50 = a5.fma(b0, c50);
            c51 = a5.fma(b1, c51);
            c52 = a5.fma(b2, c52);
            c53 = a5.fma(b3, c53);
            q += PANEL;
        }
        c00.intoArray(ab, co);
        c01.intoArray(ab, co + LANES);
        c02.intoArray(ab, co + 2 * LANES);
        c03.intoArray(ab, co + 3 * LANES);
        c10.intoArray(ab, co + PANEL);
        c11.intoArray(ab, co + PANEL + LANES);
        c12.intoArray(ab, co + PANEL + 2 * LANES);
        c13.intoArray(ab, co + PANEL + 3 * LANES);
        c20.intoArray(ab, co + 2 * PANEL);
        c21.intoArray(ab, co + 2 * PANEL + LANES);
        c22.intoArray(ab, co + 2 * PANEL + 2 * LANES);
        c23.intoArray(ab, co + 2 * PANEL + 3 * LANES);
        c30.intoArray(ab, co + 3 * PANEL);
        c31.intoArray(ab, co + 3 * PANEL + LANES);
        c32.intoArray(ab, co + 3 * PANEL + 2 * LANES);
        c33.intoArray(ab, co + 3 * PANEL + 3 * LANES);
        c40.intoArray(ab, co + 4 * PANEL);
        c41.intoArray(ab, co + 4 * PANEL + LANES);
        c42.intoArray(ab, co + 4 * PANEL + 2 * LANES);
        c43.intoArray(ab, co + 4 * PANEL + 3 * LANES);
        c50.intoArray(ab, co + 5 * PANEL);
        c51.intoArray(ab, co + 5 * PANEL + LANES);
        c52.intoArray(ab, co + 5 * PANEL + 2 * LANES);
        c53.intoArray(ab, co + 5 * PANEL + 3 * LANES);
    }

    private static void tile6x1(int k, float[] ab, int ao, int bo, int co) {
        FloatVector c00 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c10 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c20 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c30 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c40 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c50 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        int q = bo;
        for (int p = ao; p < ao + k * STRIP; p += STRIP) {
            FloatVector b0 = FloatVector.fromArray(SPECIES, ab, q);
            FloatVector a0 = FloatVector.broadcast(SPECIES, ab[p]);
            c00 = a0.fma(b0, c00);
            FloatVector a1 = FloatVector.broadcast(SPECIES, ab[p + 1]);
            c10 = a1.fma(b0, c10);
            FloatVector a2 = FloatVector.broadcast(SPECIES, ab[p + 2]);
            c20 = a2.fma(b0, c20);
            FloatVector a3 = FloatVector.broadcast(SPECIES, ab[p + 3]);
            c30 = a3.fma(b0, c30);
            FloatVector a4 = FloatVector.broadcast(SPECIES, ab[p + 4]);
            c40 = a4.fma(b0, c40);
            FloatVector a5 = FloatVector.broadcast(SPECIES, ab[p + 5]);
            c50 = a5.fma(b0, c50);
            q += PANEL;
        }
        c00.intoArray(ab, co);
        c10.intoArray(ab, co + PANEL);
        c20.intoArray(ab, co + 2 * PANEL);
        c30.intoArray(ab, co + 3 * PANEL);
        c40.intoArray(ab, co + 4 * PANEL);
        c50.intoArray(ab, co + 5 * PANEL);
    }

    private static void tile5x2(int k, float[] ab, int ao, int bo, int co) {
        FloatVector c00 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c01 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c10 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c11 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c20 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c21 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c30 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c31 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c40 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        FloatVector c41 = FloatVector.fromArray(SPECIES, ZEROS, 0);
        int q = bo;
        for (int p = ao; p < ao + k * STRIP; p += STRIP) {
            FloatVector b0 = FloatVector.fromArray(SPECIES, ab, q);
            FloatVector b1 = FloatVector.fromArray(SPECIES, ab, q + LANES);
            FloatVector a0 = FloatVector.broadcast(SPECIES, ab[p]);
            c00 = a0.fma(b0, c00);
            c01 = a0.fma(b1, c01);
            FloatVector a1 = FloatVector.broadcast(SPECIES, ab[p + 1]);
            c10 = a1.fma(b0, c10);
            c11 = a1.fma(b1, c11);
            FloatVector a2 = FloatVector.broadcast(SPECIES, ab[p + 2]);
            c20 = a2.fma(b0, c20);
            c21 = a2.fma(b1, c21);
            FloatVector a3 = FloatVector.broadcast(SPECIES, ab[p + 3]);
            c30 = a3.fma(b0, c30);
            c31 = a3.fma(b1, c31);
            FloatVector a4 = FloatVector.broadcast(SPECIES, ab[p + 4]);
            c40 = a4.fma(b0, c40);
            c41 = a4.fma(b1, c41);
            q += PANEL;
        }
        c00.intoArray(ab, co);
        c01.intoArray(ab, co + LANES);
        c10.intoArray(ab, co + PANEL);
        c11.intoArray(ab, co + PANEL + LANES);
        c20.intoArray(ab, co + 2 * PANEL);
        c21.intoArray(ab, co + 2 * PANEL + LANES);
        c30.intoArray(ab, co + 3 * PANEL);
        c31.intoArray(ab, co + 3 * PANEL + LANES);
        c40.intoArray(ab, co + 4 * PANEL);
        c41.intoArray(ab, co + 4 * PANEL + LANES);
    }
}
