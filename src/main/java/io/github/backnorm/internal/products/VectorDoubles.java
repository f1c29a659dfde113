package io.github.backnorm.internal.products;

import io.github.backnorm.internal.threads.Parallel;
import java.util.function.IntFunction;

/**
 * A {@linkplain VectorProducts product by packed blocks} in doubles.
 *
 * <p>A whole tile is computed in C. One at an edge is computed in the thread's tile, and only the entries that belong
 * to C are copied out.
 */
public final class VectorDoubles extends VectorProducts {
    private static final int PANEL = VectorTile.PANEL;
    private static final int LANES = VectorTile.LANES;

    private final double[] packed = Scratch.DOUBLES.take(packedLength());

    private VectorDoubles(Parallel parallel, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        super(parallel, a, b, row, arrayFor, Double.BYTES, PANEL);
    }

    /** As {@link ScalarProducts#multiply}. */
    public static double[] multiply(
            Parallel parallel, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        VectorDoubles product = new VectorDoubles(parallel, a, b, row, arrayFor);
        product.multiplyBlocks();
        Scratch.DOUBLES.giveBack(product.packed);
        return product.c;
    }

    @Override
    void packPanel(int p, int j, int used, int lines, int at) {
        if (!b.hasContiguousRows()) {
            packColumns(b.data(), b.at(p, j), b.columnStep(), used, lines, packed, at);
        } else if (used == PANEL) {
            VectorTile.packRows(lines, b.data(), b.at(p, j), b.rowStep(), packed, at);
        } else {
            copy(lines, used, b.data(), b.at(p, j), b.rowStep(), packed, at, PANEL);
        }
    }

    @Override
    void packStrip(int i, int p, int used, int lines, int at) {
        packStrip(a, i, p, used, lines, packed, at);
    }

    /** Packs columns, which are contiguous in B, in pairs. */
    private static void packColumns(double[] from, int start, int ld, int used, int lines, double[] to, int at) {
        int column = 0;
        for (; column + 1 < used; column += 2) {
            int first = start + column * ld;
            int second = first + ld;
            int t = at + column;
            for (int p = 0; p < lines; p++) {
                to[t + p * PANEL] = from[first + p];
                to[t + p * PANEL + 1] = from[second + p];
            }
        }
        if (column < used) {
            for (int p = 0; p < lines; p++) {
                to[at + column + p * PANEL] = from[start + column * ld + p];
            }
        }
    }

    /** The loop counts by the packed index, whose bounds are then checked before the loop. */
    private static void packStrip(Operand a, int i, int p, int used, int lines, double[] to, int at) {
        double[] from = a.data();
        int lineStep = a.columnStep();
        int row1 = Math.min(1, used - 1) * a.rowStep();
        int row2 = Math.min(2, used - 1) * a.rowStep();
        int row3 = Math.min(3, used - 1) * a.rowStep();
        int row4 = Math.min(4, used - 1) * a.rowStep();
        int row5 = Math.min(5, used - 1) * a.rowStep();
        int f = a.at(i, p);
        for (int t = at; t < at + lines * STRIP; t += STRIP) {
            to[t] = from[f];
            to[t + 1] = from[f + row1];
            to[t + 2] = from[f + row2];
            to[t + 3] = from[f + row3];
            to[t + 4] = from[f + row4];
            if (STRIP > 5) {
                to[t + 5] = from[f + row5];
            }
            f += lineStep;
        }
    }

    @Override
    void multiply(int lines, int i, int rows, int strip, int j, int columns, int panel, int tile) {
        int vectors = VectorTile.vectors(columns);
        int start = i * n + j;
        boolean whole = rows == STRIP && columns == vectors * LANES;
        double[] target = whole ? c : packed;
        int at = whole ? start : tile;
        int ld = whole ? n : PANEL;
        if (!whole && !isFirst()) {
            copy(rows, columns, c, start, n, packed, tile, PANEL);
        }
        VectorTile.multiply(rows, vectors, lines, packed, strip, panel, isFirst(), target, at, ld);
        if (!whole) {
            copy(rows, columns, packed, tile, PANEL, c, start, n);
        }
        for (int r = 0; r < rows && addsRow(); r++) {
            VectorTile.addRow(columns, row, j, c, start + r * n);
        }
    }

    private static void copy(int rows, int columns, double[] from, int start, int ld, double[] to, int at, int ldTo) {
        for (int i = 0; i < rows; i++) {
            System.arraycopy(from, start + i * ld, to, at + i * ldTo, columns);
        }
    }
}
