package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.ReLU;
import io.github.backnorm.Shard;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * The gradients of a batch that lies in blocks of 2 and 6 rows: exact, with one block at a time in memory, and as
 * usual, the gradients of the blocks added.
 */
public final class InBlocks {
    private static final Matrix X = random(8, 3);
    private static final Matrix TARGET = random(8, 1);
    private static final int[][] BLOCKS = {{0, 1}, {2, 3, 4, 5, 6, 7}}; // numbers of rows

    private InBlocks() {}

    public static void main(String[] args) {
        Network network = new Network(
                new Affine(random(3, 4), Matrix.zeros(1, 4)),
                new BatchNorm(4),
                new ReLU(),
                new Affine(random(4, 1), Matrix.zeros(1, 1)));

        network.backwardParameters(
                Loss.meanSquaredError(network.forward(X), TARGET).gradient());
        Matrix whole = gradient(network);

        differentiate(network);
        Matrix inBlocks = gradient(network);

        Matrix added = Matrix.zeros(3, 4);
        for (int[] rows : BLOCKS) {
            Matrix y = network.forward(X.selectRows(rows));
            network.backwardParameters(
                    Loss.meanSquaredError(y, TARGET.selectRows(rows)).gradient());
            added = added.plusScaled(rows.length / 8.0, gradient(network));
        }

        System.out.printf("in blocks, off by %.0e of its norm%n", norm(inBlocks.minus(whole)) / norm(whole));
        System.out.printf("added up, off by %.2f of its norm%n", norm(added.minus(whole)) / norm(whole));
    }

    /** Sets the gradients of a batch of which one block at a time is in memory. */
    private static void differentiate(Network network) {
        List<byte[]> batches = new ArrayList<>(); // the sums over the whole batch, so far
        Shard driver = Shard.follower(network, BLOCKS.length);
        for (byte[] merged = driver.next(null); merged != null; ) {
            for (int block = 0; block < BLOCKS.length; block++) {
                int[] rows = BLOCKS[block];
                Shard shard = new Shard(
                        network,
                        block,
                        BLOCKS.length,
                        X.selectRows(rows),
                        y -> Loss.meanSquaredError(y, TARGET.selectRows(rows)));
                byte[] message = shard.next(null);
                for (byte[] batch : batches) {
                    message = shard.next(batch);
                }
                merged = Shard.merge(merged, message);
            }
            batches.add(merged);
            merged = driver.next(merged);
        }
    }

    /** That of the first weight. */
    private static Matrix gradient(Network network) {
        return network.parameters().get(0).gradient();
    }

    private static double norm(Matrix matrix) {
        return Math.sqrt(matrix.hadamard(matrix).sum());
    }

    private static Matrix random(int rows, int columns) {
        Random random = new Random(31L * rows + columns);
        return Matrix.generate(rows, columns, (i, j) -> 2 * random.nextDouble() - 1);
    }
}
