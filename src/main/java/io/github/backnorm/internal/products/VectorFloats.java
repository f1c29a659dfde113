package io.github.backnorm.internal.products;

import io.github.backnorm.internal.threads.Parallel;
import java.util.function.IntFunction;

/**
 * A {@linkplain VectorProducts product by packed blocks} in single precision, as {@link ScalarFloats} defines it. An
 * operand is rounded while it is packed. A tile is computed in the thread's tile and added to C in double.
 *
 * <p>Numbers are converted in vectors as wide as all others, half of which is then empty or in two parts. Narrower ones
 * would be natural. But once the class FloatVector is used with two widths, C2 makes objects of what a tile stores: it
 * knows the width of those from the profile only.
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
            return;
        }
        int last = lines - 1;
        for (int line = 0; line < last; line++) { // these also write to the line behind them
            VectorFloatTile.round(used, b.data(), b.at(p + line, j), packed, at + line * PANEL);
        }
        ScalarFloats.round(used, b.data(), b.at(p + last, j), packed, at + last * PANEL);
    }

    @Override
    void packStrip(int i, int p, int used, int lines, int at) {
        int vectorized = 0;
        if (used == STRIP && !a.hasContiguousRows() && VectorFloatTile.CONVERTS) {
            vectorized = Math.max(0, lines - 2); // these also write to the two lines behind them
            VectorFloatTile.packLines(vectorized, a.data(), a.at(i, p), a.columnStep(), packed, at);
        }
        packStrip(a, i, p + vectorized, used, lines - vectorized, packed, at + vectorized * STRIP);
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
        for (int r = 0; r < rows; r++) {
            int to = (i + r) * n + j;
            VectorFloatTile.add(columns, packed, tile + r * PANEL, isFirst(), c, to);
            if (addsRow()) {
                VectorTile.addRow(columns, row, j, c, to);
            }
        }
    }
}
