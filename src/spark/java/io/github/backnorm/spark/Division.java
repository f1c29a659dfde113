package io.github.backnorm.spark;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.spark.Partitioner;
import scala.Tuple2;

/**
 * How rows are divided into the blocks of an epoch. A row's key is a hash of the seed and the epoch, and of the row's
 * id or, where there are none, of its numbers. It decides on the block and on the place in it. Rows with the same key
 * are ordered by their numbers, so only rows that are equal may change places.
 *
 * <p>Block b of the B of a batch lies in partition ⌊b·P/B⌋ of the batch's P. So neighbors lie together, and their
 * messages become one.
 *
 * @param start a hash of the seed and the epoch
 * @param hasIds whether rows have ids
 * @param batches the number of batches
 * @param blocks B
 * @param partitions P
 */
record Division(long start, boolean hasIds, int batches, int blocks, int partitions) implements Serializable {
    /** Rows that a task collects before it sends them to their blocks. */
    private static final int COLLECTED = 1 << 16;

    /** Mixes all bits: the finalizer of SplittableRandom, D. Stafford's variant 13 of that of MurmurHash3. */
    static long mix(long bits) {
        long z = (bits ^ (bits >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }

    private long key(Sample row) {
        return hasIds ? mix(start + mix(row.id())) : hash(hash(start, row.x()), row.targets());
    }

    private static long hash(long start, double[] numbers) {
        long hash = start;
        for (double number : numbers) {
            hash = mix(hash + mix(Double.doubleToLongBits(number)));
        }
        return hash;
    }

    /** The rows of a partition of the table, for their blocks, some thousands at a time. */
    Iterator<Tuple2<Integer, List<Sample>>> divide(Iterator<Sample> rows) {
        return new Iterator<>() {
            private Iterator<Map.Entry<Integer, List<Sample>>> collected =
                    Map.<Integer, List<Sample>>of().entrySet().iterator();

            @Override
            public boolean hasNext() {
                return collected.hasNext() || rows.hasNext();
            }

            @Override
            public Tuple2<Integer, List<Sample>> next() {
                if (!collected.hasNext()) {
                    collected = collect(rows).entrySet().iterator();
                }
                Map.Entry<Integer, List<Sample>> ofBlock = collected.next();
                return new Tuple2<>(ofBlock.getKey(), ofBlock.getValue());
            }
        };
    }

    private Map<Integer, List<Sample>> collect(Iterator<Sample> rows) {
        Map<Integer, List<Sample>> byBlock = new HashMap<>();
        for (int i = 0; i < COLLECTED && rows.hasNext(); i++) {
            Sample row = rows.next();
            int block = (int) Long.remainderUnsigned(key(row), (long) batches * blocks);
            byBlock.computeIfAbsent(block, number -> new ArrayList<>()).add(row);
        }
        return byBlock;
    }

    /** The partition of a block; both count over the epoch. */
    private int partition(int block) {
        return block / blocks * partitions + (int) ((long) (block % blocks) * partitions / blocks);
    }

    Partitioner partitioner() {
        return new ByBlock(this);
    }

    private static final class ByBlock extends Partitioner {
        private static final long serialVersionUID = 1;

        private final Division division;

        ByBlock(Division division) {
            this.division = division;
        }

        @Override
        public int numPartitions() {
            return division.batches * division.partitions;
        }

        @Override
        public int getPartition(Object block) {
            return division.partition((int) block);
        }
    }

    /** The blocks of a partition, in order, also those without a row. */
    Iterator<Block> blocks(int partition, Iterator<Tuple2<Integer, List<Sample>>> parts) {
        Map<Integer, List<Sample>> byBlock = new HashMap<>();
        parts.forEachRemaining(part ->
                byBlock.computeIfAbsent(part._1(), number -> new ArrayList<>()).addAll(part._2()));
        Comparator<Sample> order = Comparator.comparingLong(this::key).thenComparing(Comparator.naturalOrder());
        List<Block> made = new ArrayList<>();
        int first = partition / partitions * blocks;
        for (int number = 0; number < blocks; number++) {
            if (partition(first + number) == partition) {
                List<Sample> rows = new ArrayList<>(byBlock.getOrDefault(first + number, List.of()));
                rows.sort(order);
                made.add(new Block(number, rows));
            }
        }
        return made.iterator();
    }
}
