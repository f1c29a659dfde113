package io.github.backnorm.internal.products;

import io.github.backnorm.internal.threads.Parallel;
import java.util.function.IntFunction;

/**
 * A {@linkplain VectorProducts product by packed blocks} in single precision, as {@link ScalarFloats} defines it. An
 * operand is rounded while it is packed. A tile is computed in the thread's tile and added to C in double.
 */
public final class VectorFloats extends VectorProducts {
    private static final int PANEL = VectorFloatTile.PANEL;

    private final float[] packed = Scratch.FLOATS.take(packedLength());

    private VectorFloats(Parallel parallel, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        super(parallel, a, b, row, arrayFor, Float.BYTES, PANEL);
    }

    /** As {@link ScalarFloats#multiply}. */
    public static double[] multiply(
            Parallel parallel, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        VectorFloats product = new VectorFloats(parallel, a, b, row, arrayFor);
        product.multiplyBlocks();
        Scratch.FLOATS.giveBack(product.packed);
        return product.c;
    }

    /** As {@link FloatRows#multiply}. */
    public static double[] multiply(Operand a, FloatRows b, double[] row) {
        return b.multiply(a, row, VectorFloatTile::addOneByFour);
    }

    @Override
    void packPanel(int p, int j, int used, int lines, int at) {
        if (!b.hasContiguousRows()) {
            packColumns(b.data(), b.at(p, j), b.columnStep(), used, lines, packed, at);
        } else if (used == PANEL) {
            VectorFloatTile.packRows(lines, b.data(), b.at(p, j), b.rowStep(), packed, at);
        } else {
            for (int line = 0; line < lines; line++) {
                ScalarFloats.round(used, b.data(), b.at(p + line, j), packed, at + line * PANEL);
            }
        }
    }

    @Override
    void packStrip(int i, int p, int used, int lines, int at) {
        packStrip(a, i, p, used, lines, packed, at);
    }

    /** Packs columns, which are contiguous in B, in pairs. */
    private static void packColumns(double[] from, int start, int ld, int used, int lines, float[] to, int at) {
        int column = 0;
        for (; column + 1 < used; column += 2) {
            int first = start + column * ld;
            int second = first + ld;
            int t = at + column;
            for (int p = 0; p < lines; p++) {
                to[t + p * PANEL] = (float) from[first + p];
                to[t + p * PANEL + 1] = (float) from[second + p];
            }
        }
        if (column < used) {
            for (int p = 0; p < lines; p++) {
                to[at + column + p * PANEL] = (float) from[start + column * ld + p];
            }
        }
    }

    /** The loop counts by the packed index, whose bounds are then checked before the loop. */
    private static void packStrip(Operand a, int i, int p, int used, int lines, float[] to, int at) {
        double[] from = a.data();
        int lineStep = a.columnStep();
        int row1 = Math.min(1, used - 1) * a.rowStep();
        int row2 = Math.min(2, used - 1) * a.rowStep();
        int row3 = Math.min(3, used - 1) * a.rowStep();
        int row4 = Math.min(4, used - 1) * a.rowStep();
        int row5 = Math.min(5, used - 1) * a.rowStep();
        int f = a.at(i, p);
        for (int t = at; t < at + lines * STRIP; t += STRIP) {
            to[t] = (float) from[f];
            to[t + 1] = (float) from[f + row1];
            to[t + 2] = (float) from[f + row2];
            to[t + 3] = (float) from[f + row3];
            to[t + 4] = (float) from[f + row4];
            if (STRIP > 5) {
                to[t + 5] = (float) from[f + row5];
            }
            f += lineStep;
        }
    }

    @Override
    void multiply(int lines, int i, int rows, int strip, int j, int columns, int panel, int tile) {
        VectorFloatTile.multiply(columns, lines, packed, strip, panel, tile);
        boolean first = isFirst();
        boolean addsRow = addsRow();
        for (int r = 0; r < rows; r++) {
            int from = tile + r * PANEL;
            int to = (i + r) * n + j;
            if (first && addsRow) {
                VectorFloatTile.add(columns, packed, from, row, j, c, to);
            } else if (first) {
                VectorFloatTile.widen(columns, packed, from, c, to);
            } else {
                VectorFloatTile.add(columns, packed, from, c, to, c, to);
            }
            if (!first && addsRow) {
                VectorTile.addRow(columns, row, j, c, to);
            }
        }
    }
}
