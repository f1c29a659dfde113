package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import io.github.backnorm.internal.BlockSums;
import io.github.backnorm.internal.DoubleDouble;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Tag("bits")
final class ShardMessageTest {
    static final int HEADER = 28;
    private static final int PAIRS = 3;
    private static final int SINGLES = 2;
    static final int NODE = 8 + 8 * (2 * PAIRS + SINGLES);

    // The tree

    /** The definition in plain recursion, of numbers of one word and of two. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 31, 33})
    void merge_anyOrderAndGrouping_sumsAlongTheTree(int blocks) {
        Random random = new Random(blocks);
        BlockSums[] sums = new BlockSums[blocks];
        List<byte[]> messages = new ArrayList<>();
        for (int b = 0; b < blocks; b++) {
            sums[b] = sums(random);
            messages.add(ShardMessage.of(exchange(blocks), b, sums[b]));
        }
        byte[] expected = messageOfAll(blocks, sumOfTree(sums, 0, blocks));
        for (int i = 0; i < 20; i++) {
            assertThat(Blocks.merged(messages, random))
                    .as("%d blocks, try %d", blocks, i)
                    .isEqualTo(expected);
        }
    }

    static BlockSums sums(Random random) {
        BlockSums sums = new BlockSums(PAIRS, SINGLES);
        for (int i = 0; i < PAIRS; i++) {
            double hi = Math.scalb(random.nextDouble() - 0.5, random.nextInt(120));
            sums.put(new DoubleDouble(hi, (random.nextDouble() - 0.5) * Math.ulp(hi)));
        }
        for (int i = 0; i < SINGLES; i++) {
            sums.put(random.nextDouble());
        }
        return sums;
    }

    private static BlockSums sumOfTree(BlockSums[] sums, int from, int to) {
        if (to - from == 1) {
            return sums[from];
        }
        int left = 1;
        while (2 * left < to - from) {
            left *= 2;
        }
        BlockSums a = sumOfTree(sums, from, from + left);
        BlockSums b = sumOfTree(sums, from + left, to);
        BlockSums sum = new BlockSums(PAIRS, SINGLES);
        for (int i = 0; i < PAIRS; i++) {
            sum.put(new DoubleDouble(a.hi()[i], a.lo()[i]).plus(new DoubleDouble(b.hi()[i], b.lo()[i])));
        }
        for (int i = 0; i < SINGLES; i++) {
            sum.put(a.singles()[i] + b.singles()[i]);
        }
        return sum;
    }

    static ShardMessage.Exchange exchange(int blocks) {
        return new ShardMessage.Exchange(7, 1, blocks, new BlockSums(PAIRS, SINGLES));
    }

    /** A message of the root, byte by byte as the layout has it. */
    private static byte[] messageOfAll(int blocks, BlockSums sums) {
        ByteBuffer bytes = ByteBuffer.allocate(HEADER + NODE).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putInt(0xB4C70001)
                .putInt(7)
                .putInt(1)
                .putInt(blocks)
                .putInt(PAIRS)
                .putInt(SINGLES);
        bytes.putInt(1).putInt(0).putInt(blocks);
        for (double[] words : List.of(sums.hi(), sums.lo(), sums.singles())) {
            Arrays.stream(words).forEach(bytes::putDouble);
        }
        return bytes.array();
    }

    /** The root of all, also where nobody has added what could be added. */
    @Test
    void ofBatch_messageWithSiblings_addsThem() {
        Random random = new Random(1);
        BlockSums[] sums = IntStream.range(0, 5).mapToObj(b -> sums(random)).toArray(BlockSums[]::new);
        byte[] expected = messageOfAll(5, sumOfTree(sums, 0, 5));
        List<Integer> order = new ArrayList<>(List.of(0, 1, 2, 3, 4));
        Collections.shuffle(order, random);
        ByteBuffer bytes = ByteBuffer.allocate(HEADER + 5 * NODE).order(ByteOrder.LITTLE_ENDIAN);
        bytes.put(expected, 0, HEADER - Integer.BYTES).putInt(5);
        order.forEach(b -> bytes.putInt(b).putInt(b + 1));
        for (int b : order) {
            bytes.put(ShardMessage.of(exchange(5), b, sums[b]), HEADER + 8, NODE - 8);
        }

        BlockSums batch =
                ShardMessage.read(bytes.array(), "Shard.next", "merged").ofBatch(exchange(5), "Shard.next");

        assertThat(messageOfAll(5, batch)).isEqualTo(expected);
        byte[] nothing = ShardMessage.of(exchange(5), ShardMessage.NO_BLOCK, batch);
        assertThat(Shard.merge(bytes.array(), nothing)).isEqualTo(expected);
        assertThat(Shard.merge(nothing, bytes.array())).isEqualTo(expected);
    }

    /** Where neighbors come together first, a message of n blocks has at most about log n nodes. */
    @Test
    void merge_blocksInOrder_staysSmall() {
        int blocks = 1000;
        byte[] merged = ShardMessage.of(exchange(blocks), ShardMessage.NO_BLOCK, sums(new Random(1)));
        for (int b = 0; b < blocks; b++) {
            merged = Shard.merge(merged, ShardMessage.of(exchange(blocks), b, sums(new Random(b))));
            assertThat(merged.length).isLessThanOrEqualTo(HEADER + 10 * NODE);
        }
        assertThat(merged).hasSize(HEADER + NODE);
    }

    /** As many blocks as there can be. */
    @Test
    void merge_mostBlocks_asFew() {
        int blocks = Integer.MAX_VALUE;
        int half = 1 << 30;
        BlockSums sums = sums(new Random(1));
        byte[] last = ShardMessage.of(exchange(blocks), blocks - 1, sums);
        byte[] middle = Shard.merge(
                ShardMessage.of(exchange(blocks), half, sums), ShardMessage.of(exchange(blocks), half - 1, sums));
        byte[] merged = Shard.merge(last, middle);

        assertThat(merged).hasSize(HEADER + 3 * NODE);
        assertRefused(
                merged,
                "Shard.next: merged lacks blocks 0 to 1073741822, blocks 1073741825 to 2147483645,"
                        + " expected all 2147483647 blocks");
    }

    private static void assertRefused(byte[] message, String text) {
        ShardMessage read = ShardMessage.read(message, "Shard.next", "merged");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> read.ofBatch(read.exchange(), "Shard.next"))
                .withMessage(text);
    }

    // Nonsense

    @ParameterizedTest
    @CsvSource({
        "0, 0, is no message of a Shard of this version", // version
        "0, -1262026750, is no message of a Shard of this version",
        "8, -1, has a damaged header", // exchange
        "12, 0, has a damaged header", // blocks
        "12, -5, has a damaged header",
        "16, -1, has a damaged header", // pairs
        "16, 2147483647, has a damaged header",
        "16, 2, 'has 172 bytes, expected 140'",
        "20, -1, has a damaged header", // singles
        "20, 2147483647, has a damaged header",
        "20, 3, 'has 172 bytes, expected 188'",
        "24, -1, has a damaged header", // nodes
        "24, 0, 'has 172 bytes, expected 28'",
        "24, 3, 'has 172 bytes, expected 244'",
        "24, 2147483647, 'has 172 bytes, expected 154618822612'",
        "28, -1, 'has the blocks from -1 to 1, no part of the tree'", // blocks of nodes
        "28, 1, 'has the blocks from 1 to 1, no part of the tree'",
        "32, 0, 'has the blocks from 0 to 0, no part of the tree'",
        "32, 6, 'has the blocks from 0 to 6, no part of the tree'",
        "32, 3, 'has the blocks from 0 to 3, no part of the tree'",
        "40, 5, 'has the blocks from 2 to 5, no part of the tree'",
        "40, 2147483647, 'has the blocks from 2 to 2147483647, no part of the tree'"
    })
    void merge_damagedNumber_refused(int at, int value, String message) {
        byte[] good = Shard.merge(
                ShardMessage.of(exchange(5), 0, sums(new Random(1))),
                ShardMessage.of(exchange(5), 2, sums(new Random(2))));
        byte[] damaged = good.clone();
        ByteBuffer.wrap(damaged).order(ByteOrder.LITTLE_ENDIAN).putInt(at, value);

        assertMerge(damaged, good, "Shard.merge: one " + message);
        assertMerge(good, damaged, "Shard.merge: other " + message);
    }

    private static void assertMerge(byte[] one, byte[] other, String message) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Shard.merge(one, other))
                .withMessage(message);
    }

    /** Numbers whose product is 2⁶⁴ times a small one. */
    @Test
    void merge_lengthBeyondLong_refused() {
        byte[] message = header(1, (1 << 30) - 1, 1, 1 << 30);

        assertMerge(message, message, "Shard.merge: one has a damaged header");
    }

    /** No sum, and as many as a message can have. */
    @ParameterizedTest
    @ValueSource(ints = {0, Checks.MAX_ENTRIES / Double.BYTES})
    void merge_noBlocks_none(int singles) {
        byte[] message = header(0, 0, singles, 0);

        assertThat(Shard.merge(message, message)).isEqualTo(message);
    }

    private static byte[] header(int exchange, int pairs, int singles, int nodes) {
        return ByteBuffer.allocate(HEADER)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(0xB4C70001)
                .putInt(7)
                .putInt(exchange)
                .putInt(5)
                .putInt(pairs)
                .putInt(singles)
                .putInt(nodes)
                .array();
    }

    @Test
    void merge_cutShort_refused() {
        byte[] good = ShardMessage.of(exchange(5), 0, sums(new Random(1)));
        for (int length = 0; length < good.length; length++) {
            byte[] cut = Arrays.copyOf(good, length);
            String expected = length < HEADER ? "expected at least 28" : "expected 100";
            assertMerge(cut, good, "Shard.merge: one has " + length + " bytes, " + expected);
        }
        assertMerge(Arrays.copyOf(good, 101), good, "Shard.merge: one has 101 bytes, expected 100");
    }

    @Test
    void nextAndMerge_randomMistakes_acceptedOrRefusedInMemoryOfTheMessage() throws IOException {
        int count = 10_000;
        assertThat(Fuzz.run("messages", count, 1).accepted()).isBetween(count / 20, count / 2); // both ways are gone
    }
}
