package io.github.backnorm;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/** The rows of a batch in blocks, and a step over them in random order of everything that has none. */
record Blocks(List<Matrix> rows) {
    /** The first rows are those of the first block, and so on. */
    static Blocks ofSizes(Matrix x, int... sizes) {
        List<Matrix> rows = new ArrayList<>();
        int from = 0;
        for (int size : sizes) {
            rows.add(x.selectRows(IntStream.range(from, from + size).toArray()));
            from += size;
        }
        return new Blocks(rows);
    }

    /** Up to 13 blocks of any size, some without a row. */
    static Blocks random(Matrix x, Random random) {
        int[] ends = random.ints(random.nextInt(13), 0, x.rows() + 1).sorted().toArray();
        int[] sizes = new int[ends.length + 1];
        for (int i = 0; i < sizes.length; i++) {
            sizes[i] = (i < ends.length ? ends[i] : x.rows()) - (i > 0 ? ends[i - 1] : 0);
        }
        return ofSizes(x, sizes);
    }

    int[] sizes() {
        return rows.stream().mapToInt(Matrix::rows).toArray();
    }

    /** The shards of all blocks, each of a network of its own. */
    List<Shard> shards(Supplier<Network> networks, Function<Matrix, Function<Matrix, Loss>> lossOf) {
        List<Shard> shards = new ArrayList<>();
        for (Matrix x : rows) {
            shards.add(new Shard(networks.get(), shards.size(), rows.size(), x, lossOf.apply(x)));
        }
        return shards;
    }

    /** As {@link #step(Shard, List, Random)}, for networks with the state of the driver's; returns the loss. */
    double step(
            Network driver,
            Supplier<Network> networks,
            Function<Matrix, Function<Matrix, Loss>> lossOf,
            Random random) {
        Supplier<Network> sameState = () -> {
            Network network = networks.get();
            network.restore(driver.state());
            return network;
        };
        Shard follower = Shard.follower(driver, rows.size());
        step(follower, shards(sameState, lossOf), random);
        return follower.loss();
    }

    /** Runs all exchanges of a step, and returns their merged messages. */
    static List<byte[]> step(Shard follower, List<Shard> shards, Random random) {
        List<byte[]> exchanges = new ArrayList<>();
        byte[] batch = null;
        for (byte[] own = follower.next(null); own != null; own = follower.next(batch)) {
            List<byte[]> messages = messages(shards, batch);
            if (random.nextBoolean()) {
                messages.add(own);
            }
            batch = merged(messages, random);
            exchanges.add(batch);
        }
        for (Shard shard : shards) {
            if (shard.next(batch) != null) {
                throw new AssertionError("a shard goes on after the follower's end");
            }
        }
        return exchanges;
    }

    static List<byte[]> messages(List<Shard> shards, byte[] batch) {
        List<byte[]> messages = new ArrayList<>();
        shards.forEach(shard -> messages.add(shard.next(batch)));
        return messages;
    }

    /** Merges messages two by two, of those that have been merged and of others, in random order. */
    static byte[] merged(List<byte[]> messages, Random random) {
        List<byte[]> left = new ArrayList<>(messages);
        while (left.size() > 1) {
            byte[] one = left.remove(random.nextInt(left.size()));
            byte[] other = left.remove(random.nextInt(left.size()));
            left.add(Shard.merge(one, other));
        }
        return left.get(0);
    }

    @Override
    public String toString() {
        return "blocks of " + Arrays.toString(sizes()) + " rows";
    }
}
