package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Random;

/** Makes messages of shards, with mistakes in the numbers of header and nodes, in the rest and in the length. */
final class ShardMessageFuzz {
    /** What the objects of a node take: it is small, and so are its sums. */
    private static final int BYTES_OF_NODE = 400;

    private ShardMessageFuzz() {}

    /** Merges two messages and takes the sums of the result. */
    static void next(Random random, String description, Fuzz.Tally tally) {
        int blocks = 1 + random.nextInt(9);
        byte[] one = someBlocks(blocks, 0, random);
        byte[] other = someBlocks(blocks, 1, random);
        byte[] first = random.nextInt(50) == 0 ? new byte[random.nextInt(200)] : mutated(one, random);
        byte[] second = random.nextBoolean() ? other : mutated(other, random);
        long bound = 20_000 + (first.length + second.length) / 8L * BYTES_OF_NODE;
        if (!tally.read(() -> refusal(first, second, description), bound, description)
                .startsWith("Shard.merge")) {
            tally.addAccepted();
        }
    }

    /** A message of some of the blocks first, first + 2 and so on. */
    private static byte[] someBlocks(int blocks, int first, Random random) {
        ShardMessage.Exchange exchange = ShardMessageTest.exchange(blocks);
        byte[] merged = ShardMessage.of(exchange, ShardMessage.NO_BLOCK, ShardMessageTest.sums(random));
        for (int b = first; b < blocks; b += 2) {
            if (random.nextBoolean()) {
                merged = Shard.merge(merged, ShardMessage.of(exchange, b, ShardMessageTest.sums(random)));
            }
        }
        return merged;
    }

    private static byte[] mutated(byte[] good, Random random) {
        byte[] bytes = good.clone();
        int nodes = littleEndian(good).getInt(24);
        int mistakes = random.nextInt(4);
        for (int i = 0; i < mistakes && bytes.length >= ShardMessageTest.HEADER; i++) {
            int numbers = Math.min(bytes.length, ShardMessageTest.HEADER + 8 * nodes);
            switch (random.nextInt(4)) {
                case 0 -> littleEndian(bytes).putInt(random.nextInt(numbers / 4) * 4, number(random));
                case 1 -> bytes[random.nextInt(numbers)] += (byte) (random.nextBoolean() ? 1 : random.nextInt());
                case 2 -> bytes[random.nextInt(bytes.length)] = (byte) random.nextInt();
                default -> {
                    int longer = ShardMessageTest.NODE * (random.nextInt(3) - 1);
                    bytes = Arrays.copyOf(bytes, Math.max(0, bytes.length + longer));
                }
            }
        }
        return bytes;
    }

    private static ByteBuffer littleEndian(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static int number(Random random) {
        int[] edges = {0, 1, 2, 3, 4, 5, -1, 1 << 26, 1 << 28, 1 << 29, 1 << 30, (1 << 30) - 1, Integer.MAX_VALUE};
        return random.nextInt(4) == 0 ? random.nextInt() >>> random.nextInt(32) : edges[random.nextInt(edges.length)];
    }

    /** The message by which the merge was refused, or the sums of the merged message; empty if neither was. */
    private static String refusal(byte[] one, byte[] other, String description) {
        try {
            ShardMessage merged = ShardMessage.read(Shard.merge(one, other), "Shard.next", "merged");
            merged.ofBatch(merged.exchange(), "Shard.next");
            return "";
        } catch (IllegalArgumentException refused) {
            assertThat(refused.getMessage())
                    .as(description)
                    .matches("Shard\\.(merge|next): (one|other|merged|block) .*");
            return refused.getMessage();
        } catch (RuntimeException | Error unexpected) {
            return fail(description, unexpected);
        }
    }
}
