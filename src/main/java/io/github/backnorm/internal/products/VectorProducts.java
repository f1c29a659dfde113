package io.github.backnorm.internal.products;

import io.github.backnorm.internal.threads.Parallel;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntConsumer;
import java.util.function.IntFunction;

/**
 * A matrix product by packed blocks and tiles: what {@link VectorDoubles} and {@link VectorFloats} have in common.
 *
 * <p>Structure, from outside in: blocks of the inner index; blocks of rows, in which A is packed into strips of six or
 * five rows; groups of panels of B, each panel up to four vectors wide; tiles, one strip by one panel. A thread packs
 * its group of panels itself, over the one before, so that the group stays in the second-level cache. Threads are
 * synchronized twice a block. A packed operand lies in the order in which a tile reads it, with strides that the
 * compiler knows: a line is what a strip or a panel has for one inner index. Strips and panels that are incomplete, at
 * the edges, are padded with arbitrary values. A thread has room for one tile in front of its panels.
 *
 * <p>Sizes. A strip has at most 48 KB, about the first-level cache. A group has half a megabyte, for the second level;
 * with few registers a quarter, since half cost up to 7 % next to a busy neighbor. A strip is packed once, a group once
 * for each block of some 1,000 rows, so packing is a few percent of the time. The packed block of A has at most a
 * little over 8 MB. The inner index is cut as seldom as that allows: every cut reads and writes C once more.
 *
 * <p>Packed panels begin {@value #ALIGNED} bytes into the array. The garbage collector G1 puts a large array at the
 * start of a region; there, no vector of a panel lies across two cache lines.
 *
 * <p>Reference: K. Goto, R. van de Geijn, 2008, Anatomy of high-performance matrix multiplication, ACM Trans. Math.
 * Softw. 34(3).
 */
abstract class VectorProducts {
    /** Rows of a strip. */
    static final int STRIP = VectorTile.STRIP;

    private static final int BLOCK_K = ScalarFloats.CHAIN; // where a chain of floats ends
    private static final int BLOCK_M = 1024 / STRIP * STRIP + STRIP;

    private static final int GROUP = (VectorTile.FEW_REGISTERS ? 256 : 512) * 1024; // bytes

    private static final int STRIPS = 8; // packed in one task
    private static final int LINES = 16; // packed at a time: lines of Aᵀ may compete for the same place in the cache
    private static final int ALIGNED = 48;

    final Operand a;
    final Operand b;
    final double[] row;
    final int n;

    private final Parallel parallel;
    private final IntFunction<double[]> arrayFor;
    private final int m;
    private final int k;
    private final int bytes; // of a packed number
    private final int panel; // columns of a panel
    private final int helpers;
    private final int mostLines;
    private final int panelsOfThread; // packed numbers: a tile, and the largest group of any block

    /** C, allocated while the first block is packed. */
    double[] c;

    // The block: rows from i0 on, inner indices from p0 on.
    private int p0;
    private int lines;
    private int i0;
    private int rows;

    VectorProducts(
            Parallel parallel,
            Operand a,
            Operand b,
            double[] row,
            IntFunction<double[]> arrayFor,
            int bytes,
            int panel) {
        this.parallel = parallel;
        this.a = a;
        this.b = b;
        this.row = row;
        this.arrayFor = arrayFor;
        this.m = a.rows();
        this.n = b.columns();
        this.k = a.columns();
        this.bytes = bytes;
        this.panel = panel;
        this.helpers = parallel.helpers(2.0 * m * n * k * bytes / Double.BYTES);
        this.mostLines = Math.min(k, BLOCK_K);
        this.panelsOfThread = STRIP * panel
                + (int) Math.min((long) panels() * panel * mostLines, Math.max(GROUP / bytes, panel * mostLines));
    }

    /** The length of the array for what is packed. */
    final int packedLength() {
        return stripStart(0) + mostLines * multiple(Math.min(m, BLOCK_M), STRIP);
    }

    /** Packs lines of a panel: rows of B from p on, columns j to {@code j + used − 1}. */
    abstract void packPanel(int p, int j, int used, int lines, int at);

    /**
     * Packs lines of a strip, with one entry for each row, from row i and inner index p on. If fewer rows are used, the
     * last of them fills the gaps.
     */
    abstract void packStrip(int i, int p, int used, int lines, int at);

    /**
     * Multiplies a strip by a panel and adds the tile to C, in rows i to {@code i + rows − 1}, columns j to {@code j +
     * columns − 1}. With the first block of the inner index it becomes what is in C, with the last one the row is
     * added.
     *
     * @param strip where its lines begin
     * @param panel where its lines begin
     * @param tile where there is room for a tile
     */
    abstract void multiply(int lines, int i, int rows, int strip, int j, int columns, int panel, int tile);

    final void multiplyBlocks() {
        for (p0 = 0; p0 < k; p0 += BLOCK_K) {
            lines = Math.min(BLOCK_K, k - p0);
            for (i0 = 0; i0 < m; i0 += BLOCK_M) {
                rows = Math.min(BLOCK_M, m - i0);
                packBlock(p0 == 0 && i0 == 0);
                multiplyTiles();
            }
        }
    }

    /** Whether the block has the first inner index. */
    final boolean isFirst() {
        return p0 == 0;
    }

    /** Whether the row is to be added: with the last inner index, if it has entries. */
    final boolean addsRow() {
        return row.length > 0 && p0 + lines == k;
    }

    private static int multiple(int size, int of) {
        return (size + of - 1) / of * of;
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
        return (n + panel - 1) / panel;
    }

    /** Panels in a group; the last group may have fewer. */
    private int group() {
        return Math.min(panels(), Math.max(1, GROUP / (bytes * panel * lines)));
    }

    private int strips() {
        return (rows + STRIP - 1) / STRIP;
    }

    /** Where the panels of a thread begin, after its tile. */
    private int panelsOf(int thread) {
        return ALIGNED / bytes + thread * panelsOfThread + STRIP * panel;
    }

    private int stripStart(int strip) {
        return ALIGNED / bytes + (helpers + 1) * panelsOfThread + strip * STRIP * lines;
    }

    private void packPanels(int from, int end, int at) {
        for (int p = 0; p < lines; p += LINES) {
            int some = Math.min(LINES, lines - p);
            for (int i = from; i < end; i++) {
                int j = i * panel;
                packPanel(p0 + p, j, Math.min(panel, n - j), some, at + ((i - from) * lines + p) * panel);
            }
        }
    }

    private void packStrips(int task) {
        int end = Math.min(strips(), (task + 1) * STRIPS);
        for (int p = 0; p < lines; p += LINES) {
            int some = Math.min(LINES, lines - p);
            for (int strip = task * STRIPS; strip < end; strip++) {
                int i = strip * STRIP;
                packStrip(i0 + i, p0 + p, Math.min(STRIP, rows - i), some, stripStart(strip) + p * STRIP);
            }
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
                int i = strip * STRIP;
                int usedRows = Math.min(STRIP, rows - i);
                for (int p = fromPanel; p < toPanel; p++) {
                    int j = p * panel;
                    int columns = Math.min(panel, n - j);
                    int at = panelsAt + (p - fromPanel) * panel * lines;
                    multiply(lines, i0 + i, usedRows, stripStart(strip), j, columns, at, panelsAt - STRIP * panel);
                }
            }
        }
    }
}
