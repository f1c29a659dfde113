package io.github.backnorm.internal.products;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * The innermost loops of {@link VectorFloats}, written as those of {@link VectorTile} are. A tile is computed from 0
 * and stored as floats; a second loop widens it.
 */
final class VectorFloatTile {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();

    private static final VectorSpecies<Double> WIDE = DoubleVector.SPECIES_PREFERRED;
    private static final int HALF = WIDE.length();

    /** As many floats as there are doubles in a vector. */
    private static final VectorSpecies<Float> NARROW =
            VectorSpecies.of(float.class, VectorShape.forBitSize(WIDE.vectorBitSize() / 2));

    private static final int STRIP = VectorTile.STRIP;

    /** Columns of a tile. */
    static final int PANEL = (VectorTile.FEW_REGISTERS ? 2 : 4) * LANES;

    private VectorFloatTile() {}

    /** Packs lines of a whole panel. */
    static void packRows(int lines, double[] from, int start, int ld, float[] to, int at) {
        for (int p = 0; p < lines; p++) {
            for (int j = 0; j < PANEL; j += HALF) {
                DoubleVector wide = DoubleVector.fromArray(WIDE, from, start + p * ld + j);
                ((FloatVector) wide.convertShape(VectorOperators.D2F, NARROW, 0)).intoArray(to, at + p * PANEL + j);
            }
        }
    }

    /** {@code c = t} for a row of a tile. */
    static void widen(int columns, float[] tile, int to, double[] c, int co) {
        int vectorized = WIDE.loopBound(columns);
        for (int j = 0; j < vectorized; j += HALF) {
            FloatVector narrow = FloatVector.fromArray(NARROW, tile, to + j);
            ((DoubleVector) narrow.convertShape(VectorOperators.F2D, WIDE, 0)).intoArray(c, co + j);
        }
        for (int j = vectorized; j < columns; j++) {
            c[co + j] = tile[to + j];
        }
    }

    /** {@code c = s + t} for a row of a tile. */
    static void add(int columns, float[] tile, int to, double[] s, int so, double[] c, int co) {
        int vectorized = WIDE.loopBound(columns);
        for (int j = 0; j < vectorized; j += HALF) {
            FloatVector narrow = FloatVector.fromArray(NARROW, tile, to + j);
            DoubleVector wide = (DoubleVector) narrow.convertShape(VectorOperators.F2D, WIDE, 0);
            DoubleVector.fromArray(WIDE, s, so + j).add(wide).intoArray(c, co + j);
        }
        for (int j = vectorized; j < columns; j++) {
            c[co + j] = s[so + j] + tile[to + j];
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
        FloatVector c00 = FloatVector.zero(SPECIES);
        FloatVector c01 = FloatVector.zero(SPECIES);
        FloatVector c02 = FloatVector.zero(SPECIES);
        FloatVector c03 = FloatVector.zero(SPECIES);
        FloatVector c10 = FloatVector.zero(SPECIES);
        FloatVector c11 = FloatVector.zero(SPECIES);
        FloatVector c12 = FloatVector.zero(SPECIES);
        FloatVector c13 = FloatVector.zero(SPECIES);
        FloatVector c20 = FloatVector.zero(SPECIES);
        FloatVector c21 = FloatVector.zero(SPECIES);
        FloatVector c22 = FloatVector.zero(SPECIES);
        FloatVector c23 = FloatVector.zero(SPECIES);
        FloatVector c30 = FloatVector.zero(SPECIES);
        FloatVector c31 = FloatVector.zero(SPECIES);
        FloatVector c32 = FloatVector.zero(SPECIES);
        FloatVector c33 = FloatVector.zero(SPECIES);
        FloatVector c40 = FloatVector.zero(SPECIES);
        FloatVector c41 = FloatVector.zero(SPECIES);
        FloatVector c42 = FloatVector.zero(SPECIES);
        FloatVector c43 = FloatVector.zero(SPECIES);
        FloatVector c50 = FloatVector.zero(SPECIES);
        FloatVector c51 = FloatVector.zero(SPECIES);
        FloatVector c52 = FloatVector.zero(SPECIES);
        FloatVector c53 = FloatVector.zero(SPECIES);
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
        FloatVector c00 = FloatVector.zero(SPECIES);
        FloatVector c10 = FloatVector.zero(SPECIES);
        FloatVector c20 = FloatVector.zero(SPECIES);
        FloatVector c30 = FloatVector.zero(SPECIES);
        FloatVector c40 = FloatVector.zero(SPECIES);
        FloatVector c50 = FloatVector.zero(SPECIES);
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
        FloatVector c00 = FloatVector.zero(SPECIES);
        FloatVector c01 = FloatVector.zero(SPECIES);
        FloatVector c10 = FloatVector.zero(SPECIES);
        FloatVector c11 = FloatVector.zero(SPECIES);
        FloatVector c20 = FloatVector.zero(SPECIES);
        FloatVector c21 = FloatVector.zero(SPECIES);
        FloatVector c30 = FloatVector.zero(SPECIES);
        FloatVector c31 = FloatVector.zero(SPECIES);
        FloatVector c40 = FloatVector.zero(SPECIES);
        FloatVector c41 = FloatVector.zero(SPECIES);
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
