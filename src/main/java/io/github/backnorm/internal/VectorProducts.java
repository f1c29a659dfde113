package io.github.backnorm.internal;

import java.util.function.IntConsumer;

/**
 * A matrix product by packed blocks and the tiles of {@link VectorKernels}.
 *
 * <p>Structure, from outside in: blocks of columns of C; blocks of the inner index, that of B packed into panels of up
 * to four vectors of columns; blocks of rows, each of A packed into strips of six or five rows; tiles, one strip by one
 * panel. The block of B is packed together with the first one of A, while a new array for C is zeroed: threads are
 * called together once less. A packed operand lies in the order in which a tile reads it, with strides that the
 * compiler knows. At the edges it has gaps, filled with anything: their tiles go through an array of one tile, of which
 * only what belongs to C is copied.
 *
 * <p>Sizes. A tile's strip has at most 48 KB, about the first-level cache, and its panel 256, of the second level. The
 * panels that a strip passes one after the other, a group, share half a megabyte of the second level; with four lanes a
 * quarter, since half cost up to 7 % next to a busy neighbor. A block is packed once for some hundred rows or columns,
 * so packing is a few percent of the time, and the packed blocks have little over 4 MB each at most. The inner index is
 * cut as seldom as that allows: every cut reads and writes C once more.
 *
 * <p>Packed panels begin at index {@value #ALIGNED}: in an array that the garbage collector G1 puts at the start of a
 * region, as it does with large ones, no vector lies across two cache lines.
 *
 * <p>K. Goto, R. van de Geijn, 2008, Anatomy of high-performance matrix multiplication, ACM Trans. Math. Softw. 34(3).
 */
final class VectorProducts {
    static final int BLOCK_K = 1024;
    static final int BLOCK_M = 512 / VectorKernels.STRIP * VectorKernels.STRIP + VectorKernels.STRIP;
    static final int BLOCK_N = 512; // a multiple of PANEL
    private static final int GROUP = VectorKernels.LANES == 4 ? 1 << 15 : 1 << 16; // entries
    private static final int PANELS = 4; // packed in one task
    private static final int STRIPS = 8;
    private static final int LINES = 64; // packed at a time
    private static final int FAR_LINES = 16; // the same of Aᵀ: its lines may share their place in the cache
    private static final int ALIGNED = 6;

    private static final int STRIP = VectorKernels.STRIP;
    private static final int PANEL = VectorKernels.PANEL;
    private static final int LANES = VectorKernels.LANES;

    private final int n;
    private final double[] a;
    private final int lda;
    private final boolean aTransposed;
    private final double[] b;
    private final int ldb;
    private final boolean bTransposed;
    private final double[] bias;
    private final int helpers;
    private final double[] packed;
    private final int packedA; // where the packed block of A begins
    private final int packedBias;

    private double[] c; // null until it is made

    // The block: rows i0 and on, columns j0 and on, p0 and on of the inner index.
    private int i0;
    private int rows;
    private int j0;
    private int columns;
    private int p0;
    private int depth;
    private boolean last; // along the inner index

    private VectorProducts(
            int m,
            int n,
            int k,
            double[] a,
            boolean aTransposed,
            double[] b,
            boolean bTransposed,
            double[] bias,
            double[] c) {
        this.n = n;
        this.a = a;
        this.lda = aTransposed ? m : k;
        this.aTransposed = aTransposed;
        this.b = b;
        this.ldb = bTransposed ? k : n;
        this.bTransposed = bTransposed;
        this.bias = bias;
        this.c = c;
        this.helpers = Parallel.helpers(2.0 * m * n * k);
        int depth = Math.min(k, BLOCK_K);
        packedA = ALIGNED + depth * multiple(Math.min(n, BLOCK_N), PANEL);
        packedBias = packedA + depth * multiple(Math.min(m, BLOCK_M), STRIP);
        packed = Scratch.take(packedBias + BLOCK_N); // a tile adds a whole panel of the bias
    }

    /** As {@link Kernels#gemm}. */
    static double[] gemm(
            int m,
            int n,
            int k,
            double[] a,
            boolean aTransposed,
            double[] b,
            boolean bTransposed,
            double[] bias,
            double[] c) {
        VectorProducts product = new VectorProducts(m, n, k, a, aTransposed, b, bTransposed, bias, c);
        product.blocks(m, k);
        Scratch.giveBack(product.packed);
        return product.c;
    }

    private static int multiple(int size, int of) {
        return (size + of - 1) / of * of;
    }

    private void blocks(int m, int k) {
        for (j0 = 0; j0 < n; j0 += BLOCK_N) {
            columns = Math.min(BLOCK_N, n - j0);
            if (bias != null) {
                System.arraycopy(bias, j0, packed, packedBias, columns);
            }
            for (p0 = 0; p0 < k; p0 += BLOCK_K) {
                depth = Math.min(BLOCK_K, k - p0);
                last = p0 + depth == k;
                for (i0 = 0; i0 < m; i0 += BLOCK_M) {
                    rows = Math.min(BLOCK_M, m - i0);
                    pack(m);
                    tiles();
                }
            }
        }
    }

    /**
     * Packs the block, and makes C if there is none. The panels are the first and the last tasks, so that a thread
     * multiplies by about those that it has packed ({@link Parallel}).
     */
    private void pack(int m) {
        int ofB = i0 == 0 ? (panels() + PANELS - 1) / PANELS : 0;
        int ofA = (strips() + STRIPS - 1) / STRIPS;
        int ofC = c == null ? 1 : 0;
        int first = ofB / 2;
        run(ofB + ofA + ofC, task -> {
            if (task < first) {
                packPanels(task);
            } else if (task < first + ofA) {
                packStrips(task - first);
            } else if (task < ofB + ofA) {
                packPanels(task - ofA);
            } else {
                c = new double[m * n];
            }
        });
    }

    private void run(int tasks, IntConsumer task) {
        Parallel.run(helpers, tasks, task);
    }

    private int panels() {
        return (columns + PANEL - 1) / PANEL;
    }

    private int strips() {
        return (rows + STRIP - 1) / STRIP;
    }

    /** Vectors in a panel; the last one may have fewer. */
    private int vectors(int panel) {
        return VectorKernels.vectors((Math.min(PANEL, columns - panel * PANEL) + LANES - 1) / LANES);
    }

    private int panelStart(int panel) {
        return ALIGNED + panel * PANEL * depth;
    }

    private int stripStart(int strip) {
        return packedA + strip * STRIP * depth;
    }

    private void packPanels(int task) {
        int end = Math.min(panels(), (task + 1) * PANELS);
        for (int p = 0; p < depth; p += LINES) {
            int lines = Math.min(LINES, depth - p);
            for (int panel = task * PANELS; panel < end; panel++) {
                int j = panel * PANEL;
                int used = Math.min(PANEL, columns - j);
                int to = panelStart(panel) + p * PANEL;
                if (bTransposed) {
                    packColumns(b, (j0 + j) * ldb + p0 + p, ldb, used, lines, packed, to);
                } else {
                    packRows(b, (p0 + p) * ldb + j0 + j, ldb, used, lines, packed, to);
                }
            }
        }
    }

    private void packStrips(int task) {
        int end = Math.min(strips(), (task + 1) * STRIPS);
        int rowStep = aTransposed ? 1 : lda;
        int lineStep = aTransposed ? lda : 1;
        int most = aTransposed ? FAR_LINES : LINES;
        for (int p = 0; p < depth; p += most) {
            int lines = Math.min(most, depth - p);
            for (int strip = task * STRIPS; strip < end; strip++) {
                int i = strip * STRIP;
                int used = Math.min(STRIP, rows - i);
                int start = (i0 + i) * rowStep + (p0 + p) * lineStep;
                packStrip(a, start, rowStep, lineStep, used, lines, packed, stripStart(strip) + p * STRIP);
            }
        }
    }

    private static void packRows(double[] from, int start, int ld, int used, int lines, double[] to, int at) {
        if (used == PANEL) {
            VectorKernels.packRows(lines, from, start, ld, to, at);
            return;
        }
        for (int p = 0; p < lines; p++) {
            System.arraycopy(from, start + p * ld, to, at + p * PANEL, used);
        }
    }

    /** Packs rows, which become columns, in pairs. */
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

    /** Packs lines of an entry for each row of a strip; where fewer are used, their gaps are filled with the last row's. */
    private static void packStrip(
            double[] from, int start, int rowStep, int lineStep, int used, int lines, double[] to, int at) {
        int row1 = Math.min(1, used - 1) * rowStep;
        int row2 = Math.min(2, used - 1) * rowStep;
        int row3 = Math.min(3, used - 1) * rowStep;
        int row4 = Math.min(4, used - 1) * rowStep;
        int row5 = Math.min(5, used - 1) * rowStep;
        for (int p = 0; p < lines; p++) {
            int f = start + p * lineStep;
            int t = at + p * STRIP;
            to[t] = from[f];
            to[t + 1] = from[f + row1];
            to[t + 2] = from[f + row2];
            to[t + 3] = from[f + row3];
            to[t + 4] = from[f + row4];
            if (STRIP > 5) {
                to[t + 5] = from[f + row5];
            }
        }
    }

    private void tiles() {
        int group = Math.max(1, GROUP / (PANEL * depth)); // panels
        int groups = (panels() + group - 1) / group;
        int parts = helpers > 0 ? Math.min(strips(), (Parallel.tasks(helpers) + groups - 1) / groups) : 1;
        run(groups * parts, task -> {
            int part = task % parts;
            int panel = task / parts * group;
            int from = (int) ((long) strips() * part / parts);
            int to = (int) ((long) strips() * (part + 1) / parts);
            tiles(from, to, panel, Math.min(panels(), panel + group));
        });
    }

    private void tiles(int fromStrip, int toStrip, int fromPanel, int toPanel) {
        double[] edge = new double[STRIP * PANEL];
        for (int strip = fromStrip; strip < toStrip; strip++) {
            for (int panel = fromPanel; panel < toPanel; panel++) {
                tile(strip, panel, edge);
            }
        }
    }

    private void tile(int strip, int panel, double[] edge) {
        int vectors = vectors(panel);
        int i = i0 + strip * STRIP;
        int j = j0 + panel * PANEL;
        int usedRows = Math.min(STRIP, i0 + rows - i);
        int usedColumns = Math.min(vectors * LANES, j0 + columns - j);
        int start = i * n + j;
        boolean whole = usedRows == STRIP && usedColumns == vectors * LANES;
        double[] target = whole ? c : edge;
        int at = whole ? start : 0;
        int ld = whole ? n : PANEL;
        boolean first = p0 == 0;
        boolean biased = last && bias != null;
        if (!whole && !first) {
            copy(usedRows, usedColumns, c, start, n, edge, 0, PANEL);
        }
        VectorKernels.tile(
                usedRows,
                vectors,
                depth,
                packed,
                stripStart(strip),
                panelStart(panel),
                first ? VectorKernels.ZEROS : target,
                first ? 0 : at,
                first ? 0 : ld,
                biased ? packed : VectorKernels.NEGATIVE_ZEROS,
                biased ? packedBias + panel * PANEL : 0,
                target,
                at,
                ld);
        if (!whole) {
            copy(usedRows, usedColumns, edge, 0, PANEL, c, start, n);
        }
    }

    private static void copy(int rows, int columns, double[] from, int start, int ld, double[] to, int at, int ldTo) {
        for (int i = 0; i < rows; i++) {
            System.arraycopy(from, start + i * ld, to, at + i * ldTo, columns);
        }
    }
}
