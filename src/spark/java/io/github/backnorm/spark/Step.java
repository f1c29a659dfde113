package io.github.backnorm.spark;

import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Shard;
import java.io.Serializable;
import org.apache.spark.broadcast.Broadcast;

/**
 * What executors are told of a step.
 *
 * @param epoch a name that no other epoch has
 * @param number the number of the step in its epoch
 * @param blocks the number of blocks
 */
record Step(String epoch, int number, int blocks, Broadcast<Model> model, BlockLoss loss) implements Serializable {
    /** A new shard of a block. */
    Shard shard(Block block) {
        Network network = model.value().network();
        Matrix targets = block.targets();
        Matrix x = block.rows().isEmpty() ? Matrix.zeros(0, model.value().inputs()) : block.x();
        return new Shard(network, block.number(), blocks, x, y -> loss.of(y, targets));
    }
}
