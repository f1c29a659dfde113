package io.github.backnorm.internal.products;

import io.github.backnorm.internal.threads.Parallel;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntConsumer;
import java.util.function.IntFunction;

/**
 * A matrix product by packed blocks and the tiles of {@link VectorTile}.
 *
 * <p>Structure, from outside in: blocks of the inner index; blocks of rows, in which A is packed into strips of six or
 * five rows; groups of panels of B, each panel up to four vectors wide; tiles, one strip by one panel. A thread packs
 * its group of panels itself, over the one before, so that the group stays in the second-level cache. Threads are
 * synchronized twice a block. A packed operand lies in the order in which a tile reads it, with strides that the
 * compiler knows. The row that is added is an extra last line of each panel; an extra line of ones in each strip
 * multiplies it. Strips and panels that are incomplete, at the edges, are padded with arbitrary values. Their tiles are
 * computed in a buffer of one tile in front of the thread's panels, and only the entries that belong to C are copied
 * out.
 *
 * <p>Sizes. A strip has at most 48 KB, about the first-level cache. A group has half a megabyte, for the second level;
 * with four lanes a quarter, since half cost up to 7 % next to a busy neighbor. A strip is packed once, a group once
 * for each block of some 1,000 rows, so packing is a few percent of the time. The packed block of A has at most a
 * little over 8 MB. The inner index is cut as seldom as that allows: every cut reads and writes C once more.
 *
 * <p>Packed panels begin at index {@value #ALIGNED}. The garbage collector G1 puts a large array at the start of a
 * region; there, no vector of a panel lies across two cache lines.
 *
 * <p>Reference: K. Goto, R. van de Geijn, 2008, Anatomy of high-performance matrix multiplication, ACM Trans. Math.
 * Softw. 34(3).
 */
public final class VectorProducts {
    private static final int BLOCK_K = 1024;
    private static final int BLOCK_M = 1024 / VectorTile.STRIP * VectorTile.STRIP + VectorTile.STRIP;

    /** Entries of a group. One part of the 33 or 65 is room for the lines of the row that is added. */
    private static final int GROUP = (VectorTile.LANES == 4 ? 33 : 65) * 1024;

    private static final int STRIPS = 8; // packed in one task
    private static final int LINES = 16; // packed at a time: lines of Aᵀ may compete for the same place in the cache
    private static final int ALIGNED = 6;

    private static final int STRIP = VectorTile.STRIP;
    private static final int PANEL = VectorTile.PANEL;
    private static final int LANES = VectorTile.LANES;
    private static final int TILE = STRIP * PANEL;

    private final Parallel parallel;
    private final Operand a;
    private final Operand b;
    private final double[] row;
    private final IntFunction<double[]> arrayFor;
    private final int m;
    private final int n;
    private final int k;
    private final int helpers;
    private final double[] packed;
    private final int panelsOfThread; // entries: a tile, and the largest group of any block

    private double[] c; // allocated while the first block is packed

    // The block: rows from i0 on, inner indices from p0 on.
    private int i0;
    private int rows;
    private int p0;
    private int depth;
    private int lines; // of a packed strip or panel: the depth, and one for the row that is added

    private VectorProducts(Parallel parallel, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        this.parallel = parallel;
        this.a = a;
        this.b = b;
        this.row = row;
        this.arrayFor = arrayFor;
        this.m = a.rows();
        this.n = b.columns();
        this.k = a.columns();
        this.helpers = parallel.helpers(2.0 * m * n * k);
        int most = Math.min(k, BLOCK_K) + (addsRow() ? 1 : 0); // lines
        panelsOfThread = TILE + (int) Math.min((long) panels() * PANEL * most, Math.max(GROUP, PANEL * most));
        packed = Scratch.take(stripStart(0) + most * multiple(Math.min(m, BLOCK_M), STRIP));
    }

    /** As {@link ScalarProducts#multiply}. */
    public static double[] multiply(
            Parallel parallel, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        VectorProducts product = new VectorProducts(parallel, a, b, row, arrayFor);
        product.multiplyBlocks();
        Scratch.giveBack(product.packed);
        return product.c;
    }

    private boolean addsRow() {
        return row.length > 0;
    }

    private static int multiple(int size, int of) {
        return (size + of - 1) / of * of;
    }

    private void multiplyBlocks() {
        for (p0 = 0; p0 < k; p0 += BLOCK_K) {
            depth = Math.min(BLOCK_K, k - p0);
            lines = p0 + depth == k && addsRow() ? depth + 1 : depth;
            for (i0 = 0; i0 < m; i0 += BLOCK_M) {
                rows = Math.min(BLOCK_M, m - i0);
                packBlock(p0 == 0 && i0 == 0);
                multiplyTiles();
            }
        }
    }

    /** Packs the block of A. With the first one, a further task gets the array for C, which may take time to zero. */
    private void packBlock(boolean first) {
        int ofA = (strips() + STRIPS - 1) / STRIPS;
        parallel.run(helpers, first ? ofA + 1 : ofA, task -> {
            if (task < ofA) {
                packStrips(task);
            } else {
                c = arrayFor.apply(m * n);
            }
        });
    }

    private int panels() {
        return (n + PANEL - 1) / PANEL;
    }

    /** Panels in a group; the last group may have fewer. */
    private int group() {
        return Math.min(panels(), Math.max(1, GROUP / (PANEL * lines)));
    }

    private int strips() {
        return (rows + STRIP - 1) / STRIP;
    }

    /** Vectors in a panel; the last panel may have fewer. */
    private int vectors(int panel) {
        return VectorTile.vectors((Math.min(PANEL, n - panel * PANEL) + LANES - 1) / LANES);
    }

    /** Where the panels of a thread begin, after its tile. */
    private int panelsOf(int thread) {
        return ALIGNED + thread * panelsOfThread + TILE;
    }

    private int stripStart(int strip) {
        return ALIGNED + (helpers + 1) * panelsOfThread + strip * STRIP * lines;
    }

    private void packPanels(int from, int end, int at) {
        for (int p = 0; p < depth; p += LINES) {
            int some = Math.min(LINES, depth - p);
            for (int panel = from; panel < end; panel++) {
                int j = panel * PANEL;
                int used = Math.min(PANEL, n - j);
                int to = at + ((panel - from) * lines + p) * PANEL;
                if (b.hasContiguousRows()) {
                    packRows(b.data(), b.at(p0 + p, j), b.rowStep(), used, some, packed, to);
                } else {
                    packColumns(b.data(), b.at(p0 + p, j), b.columnStep(), used, some, packed, to);
                }
            }
        }
        for (int panel = from; panel < end && lines > depth; panel++) {
            int j = panel * PANEL;
            System.arraycopy(row, j, packed, at + ((panel - from) * lines + depth) * PANEL, Math.min(PANEL, n - j));
        }
    }

    private void packStrips(int task) {
        int end = Math.min(strips(), (task + 1) * STRIPS);
        for (int p = 0; p < depth; p += LINES) {
            int some = Math.min(LINES, depth - p);
            for (int strip = task * STRIPS; strip < end; strip++) {
                int i = strip * STRIP;
                packStrip(a, i0 + i, p0 + p, Math.min(STRIP, rows - i), some, packed, stripStart(strip) + p * STRIP);
            }
        }
        for (int strip = task * STRIPS; strip < end && lines > depth; strip++) {
            int ones = stripStart(strip) + depth * STRIP;
            Arrays.fill(packed, ones, ones + STRIP, 1.0);
        }
    }

    private static void packRows(double[] from, int start, int ld, int used, int lines, double[] to, int at) {
        if (used == PANEL) {
            VectorTile.packRows(lines, from, start, ld, to, at);
            return;
        }
        for (int p = 0; p < lines; p++) {
            System.arraycopy(from, start + p * ld, to, at + p * PANEL, used);
        }
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

    /**
     * Packs lines of a strip, with one entry for each row, from row i and inner index p on. If fewer rows are used, the
     * last of them fills the gaps. The loop counts by the packed index, whose bounds are then checked before the loop.
     */
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

    private void multiplyTiles() {
        int group = group();
        int groups = (panels() + group - 1) / group;
        int parts = helpers > 0 ? Math.min(strips(), (Parallel.tasks(helpers) + groups - 1) / groups) : 1;
        AtomicInteger threads = new AtomicInteger();
        parallel.run(helpers, groups * parts, () -> new Tiles(group, parts, panelsOf(threads.getAndIncrement())));
    }

    /** The work of one thread, which packs each group for itself. */
    private final class Tiles implements IntConsumer {
        private final int group;
        private final int parts;
        private final int panelsAt;
        private int packedFrom = -1; // the first panel of the packed group

        Tiles(int group, int parts, int panelsAt) {
            this.group = group;
            this.parts = parts;
            this.panelsAt = panelsAt;
        }

        @Override
        public void accept(int task) {
            int fromPanel = task / parts * group;
            int toPanel = Math.min(panels(), fromPanel + group);
            if (packedFrom != fromPanel) {
                packPanels(fromPanel, toPanel, panelsAt);
                packedFrom = fromPanel;
            }
            int part = task % parts;
            int from = (int) ((long) strips() * part / parts);
            int to = (int) ((long) strips() * (part + 1) / parts);
            for (int strip = from; strip < to; strip++) {
                for (int panel = fromPanel; panel < toPanel; panel++) {
                    tile(strip, panel, panelsAt + (panel - fromPanel) * PANEL * lines, panelsAt - TILE);
                }
            }
        }
    }

    private void tile(int strip, int panel, int panelStart, int edge) {
        int vectors = vectors(panel);
        int i = i0 + strip * STRIP;
        int j = panel * PANEL;
        int usedRows = Math.min(STRIP, i0 + rows - i);
        int usedColumns = Math.min(vectors * LANES, n - j);
        int start = i * n + j;
        boolean whole = usedRows == STRIP && usedColumns == vectors * LANES;
        double[] target = whole ? c : packed;
        int at = whole ? start : edge;
        int ld = whole ? n : PANEL;
        boolean first = p0 == 0;
        if (!whole && !first) {
            copy(usedRows, usedColumns, c, start, n, packed, edge, PANEL);
        }
        VectorTile.multiply(usedRows, vectors, lines, packed, stripStart(strip), panelStart, first, target, at, ld);
        if (!whole) {
            copy(usedRows, usedColumns, packed, edge, PANEL, c, start, n);
        }
    }

    private static void copy(int rows, int columns, double[] from, int start, int ld, double[] to, int at, int ldTo) {
        for (int i = 0; i < rows; i++) {
            System.arraycopy(from, start + i * ld, to, at + i * ldTo, columns);
        }
    }
}
