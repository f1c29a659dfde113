package io.github.backnorm.spark;

import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import java.io.Serializable;

/**
 * The loss of a block's rows, a mean over them, such as {@code Loss::meanSquaredError}. It travels to executors as
 * Java's functions do, serialized.
 */
@FunctionalInterface
public interface BlockLoss extends Serializable {
    /**
     * {@return the loss}
     *
     * @param y what the network makes of the rows, N×L
     * @param targets the rows' targets, one column for each column of the table that has some
     */
    Loss of(Matrix y, Matrix targets);

    /**
     * {@return the softmax cross-entropy of scores, N×C, and labels, N×1, whole numbers from 0 to C − 1} Another label
     * is refused, by the number of its row in the block.
     */
    static BlockLoss ofClasses() {
        return BlockLoss::softmaxCrossEntropy;
    }

    private static Loss softmaxCrossEntropy(Matrix scores, Matrix labels) {
        int[] classes = new int[labels.rows()];
        for (int i = 0; i < classes.length; i++) {
            double label = labels.get(i, 0);
            classes[i] = (int) label;
            if (!(label == classes[i] && label >= 0 && label < scores.columns())) {
                throw new IllegalArgumentException("BlockLoss.ofClasses: label of row " + i + " is " + label
                        + ", expected a whole number from 0 to " + (scores.columns() - 1));
            }
        }
        return Loss.softmaxCrossEntropy(scores, classes);
    }
}
