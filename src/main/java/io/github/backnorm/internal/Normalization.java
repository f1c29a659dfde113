package io.github.backnorm.internal;

import io.github.backnorm.internal.threads.Parallel;
import java.util.Arrays;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.function.ToIntFunction;

/**
 * Batch norm by the statistics of the batch, forward and backward. The columns are divided into {@linkplain
 * Panel panels}, which do not depend on each other; {@code Panel} has the equations. The bits of a column depend on
 * that column only.
 *
 * <p>A batch in blocks: {@link #beginBlock} and {@link #sumGradients} return the sums of a block's rows, {@link
 * #takeDeviations} and {@link #takeGradients} take those of the whole batch. {@link #forward} and {@link #backward} of
 * the block then compute with these.
 *
 * <p>The panels and their arrays are kept from batch to batch: in a small step, allocating new ones took about as long
 * as what is computed in them.
 */
public final class Normalization {
    /** The lower bound of y for a batch norm alone: none. */
    public static final double NO_LEAST = Double.NEGATIVE_INFINITY;

    /** The lower bound of y for a batch norm and the ReLU after it. */
    public static final double LEAST_OF_RELU = 0;

    /** Columns of a panel. Wider ones make the kernels' loops longer, narrower ones use fewer pages of memory. */
    private static final int PANEL = 512;

    /** Columns of a panel if several threads share the panels. */
    private static final int NARROW_PANEL = 128;

    /** Doubles in a cache line. Panels begin at a multiple of it, so that threads share few lines. */
    private static final int LINE = 8;

    /** The time that an entry takes, forward or backward, in operations of a SIMD product. */
    private static final int OPERATIONS = 60;

    private final int columns;
    private final double epsilon;
    private final Supplier<Kernels> chosen;

    // For the last batch
    private Parallel parallel;
    private int helpers;
    private Panel[] panels = {};
    private boolean inBlocks;
    private boolean pivotsMoved;

    /** For batches with {@code columns} columns. */
    public Normalization(int columns, double epsilon) {
        this(columns, epsilon, KernelChoice::chosen);
    }

    Normalization(int columns, double epsilon, Supplier<Kernels> chosen) {
        this.columns = columns;
        this.epsilon = epsilon;
        this.chosen = chosen;
    }

    /**
     * Sets {@code y = max(γ·ĥ + β, least)} for the first rows of h. If {@link #overflowingColumn} names a column
     * afterwards, y is meaningless.
     *
     * @param rows at least 2
     */
    public void forward(int rows, double[] h, double[] gamma, double[] beta, double least, double[] y) {
        if (inBlocks) {
            forEach(panel -> panel.normalize(h, gamma, beta, least, y));
        } else {
            prepare(rows);
            forEach(panel -> panel.forward(rows, h, gamma, beta, least, y));
        }
    }

    /** Chooses the helpers for {@code rows} rows, and makes new panels if their number changes. */
    private void prepare(int rows) {
        Kernels kernels = chosen.get();
        parallel = kernels.parallel();
        helpers = parallel.helpers((double) OPERATIONS * rows * columns);
        int width = helpers > 0 ? NARROW_PANEL : PANEL;
        int group = Math.max(LINE, kernels.lanes());
        int count = (columns + width - 1) / width;
        if (panels.length == count) {
            return;
        }
        Panel[] made = new Panel[count];
        int from = 0;
        for (int p = 0; p < count; p++) {
            int to = p == count - 1 ? columns : (int) ((long) columns * (p + 1) / count) / group * group;
            made[p] = new Panel(kernels, epsilon, from, to - from, columns);
            from = to;
        }
        panels = made; // only once all are made: if memory runs out, the old ones stay
    }

    private void forEach(Consumer<Panel> work) {
        Panel[] panels = this.panels;
        parallel.run(helpers, panels.length, p -> work.accept(panels[p]));
    }

    /** Sets dγ, dβ and dh, for h and γ of the last {@link #forward}. */
    public void backward(double[] h, double[] gamma, double[] dy, double[] dgamma, double[] dbeta, double[] dh) {
        forEach(panel -> {
            backwardParameters(panel, h, gamma, dy, dgamma, dbeta);
            panel.backwardInput(h, dy, dh);
        });
    }

    /** As {@link #backward}, without dh. */
    public void backwardParameters(double[] h, double[] gamma, double[] dy, double[] dgamma, double[] dbeta) {
        forEach(panel -> backwardParameters(panel, h, gamma, dy, dgamma, dbeta));
    }

    private void backwardParameters(
            Panel panel, double[] h, double[] gamma, double[] dy, double[] dgamma, double[] dbeta) {
        if (inBlocks) {
            panel.setGradients(dgamma, dbeta);
        } else {
            panel.backwardParameters(h, gamma, dy, dgamma, dbeta);
        }
    }

    /** The first column whose unbiased variance is beyond the range of double, or not a number; −1 if there is none. */
    public int overflowingColumn() {
        return firstColumn(Panel::overflowingColumn);
    }

    /** The first column that the panels name; −1 if none does. */
    private int firstColumn(ToIntFunction<Panel> named) {
        return Arrays.stream(panels)
                .mapToInt(named)
                .filter(column -> column >= 0)
                .findFirst()
                .orElse(-1);
    }

    /** Moves the running statistics (25) from the old ones toward μ and the unbiased variance of the batch. */
    public void moveRunning(
            double momentum, double[] oldMean, double[] oldVariance, double[] newMean, double[] newVariance) {
        for (Panel panel : panels) {
            panel.moveRunning(momentum, oldMean, oldVariance, newMean, newVariance);
        }
    }

    // A batch in blocks

    /** Whether the batch is one in blocks. */
    public boolean isInBlocks() {
        return inBlocks;
    }

    /**
     * Begins a batch in blocks.
     *
     * @param rows the number of rows of the block
     * @return Σd and Σd² of these rows, and their number
     */
    public BlockSums beginBlock(int rows, double[] h) {
        inBlocks = true;
        pivotsMoved = false;
        prepare(rows);
        forEach(panel -> panel.begin(rows, h));
        return deviations(rows);
    }

    private BlockSums deviations(double rows) {
        BlockSums sums = new BlockSums(2 * columns, 1);
        sums.put(rows);
        for (Panel panel : panels) {
            panel.putDeviations(sums);
        }
        return sums;
    }

    /**
     * Takes the sums over the whole batch. The block's part of them came from {@link #beginBlock} or from this method.
     *
     * @return the block's sums about new pivots, if the sums of the batch move one; else null
     */
    public BlockSums takeDeviations(BlockSums batch, int rows, double[] h) {
        double n = batch.singles()[0];
        for (Panel panel : panels) {
            panel.takeDeviations(batch, n);
        }
        if (pivotsMoved) {
            return null; // they have been chosen
        }
        for (Panel panel : panels) {
            pivotsMoved |= panel.movePivots();
        }
        if (!pivotsMoved) {
            return null;
        }
        forEach(panel -> panel.sumDeviations(h));
        return deviations(rows);
    }

    /** The first column that the kernels cannot compute after {@link #forward} of a block; −1 if there is none. */
    public int immoderateColumn(double[] gamma, double[] beta) {
        return firstColumn(panel -> panel.immoderateColumn(gamma, beta));
    }

    /** Returns Σdy, Σdy·d and Σdy² of the block's rows. */
    public BlockSums sumGradients(double[] h, double[] dy) {
        forEach(panel -> panel.sumGradients(h, dy));
        BlockSums sums = new BlockSums(2 * columns, columns);
        for (Panel panel : panels) {
            panel.putGradients(sums);
        }
        return sums;
    }

    /** Takes these sums of the whole batch. */
    public void takeGradients(BlockSums batch) {
        for (Panel panel : panels) {
            panel.takeGradients(batch);
        }
    }

    /** The first column whose dy the kernels cannot compute with; −1 if there is none. */
    public int immoderateGradient() {
        return firstColumn(Panel::immoderateGradient);
    }
}
