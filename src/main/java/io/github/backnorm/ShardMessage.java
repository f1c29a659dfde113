package io.github.backnorm;

import io.github.backnorm.internal.BlockSums;
import io.github.backnorm.internal.DoubleDouble;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The messages of {@link Shard}s: sums over the rows of some blocks.
 *
 * <p>The block numbers 0 to B − 1 are the leaves of a binary tree. The left part of a node with n &gt; 1 leaves has as
 * many as the largest power of two below n. A message is a set of nodes that have no leaf in common, each with its
 * sums. To merge is to unite the sets, and to put a node in the place of its two parts, left + right, as soon as both
 * are there. So the root has the same bits however messages are merged.
 *
 * <p>Layout, little-endian: a number for the version, the {@link Exchange} as five ints, the number of nodes as an int;
 * for each node its first leaf, and the one after its last, as ints; for each node its sums as doubles, leading words,
 * second words, sums in one word.
 */
final class ShardMessage {
    /** The number of the block for a message without one. */
    static final int NO_BLOCK = -1;

    /** The most sums of one kind: a message of them all is shorter than the longest array. */
    static final int MOST_SUMS = 1 << 26;

    private static final int VERSION = 0xB4C70001;
    private static final int HEADER = 7 * Integer.BYTES;
    private static final int NODE = 2 * Integer.BYTES;

    /**
     * What all messages say that may be merged.
     *
     * @param network a hash of the network
     * @param number the number of the exchange in its step
     * @param blocks B
     * @param pairs the number of sums in two words
     * @param singles the number of sums in one word
     */
    record Exchange(int network, int number, int blocks, int pairs, int singles) {
        Exchange(int network, int number, int blocks, BlockSums sums) {
            this(network, number, blocks, sums.hi().length, sums.singles().length);
        }

        /** The length of a node's sums, in bytes. */
        private long length() {
            return Double.BYTES * (2L * pairs + singles);
        }
    }

    private record Node(int from, int to, ByteBuffer sums) {}

    private final Exchange exchange;
    private final TreeMap<Integer, Node> nodes = new TreeMap<>(); // by their first leaf

    private ShardMessage(Exchange exchange) {
        this.exchange = exchange;
    }

    /** The message of a block, or one of {@link #NO_BLOCK}. */
    static byte[] of(Exchange exchange, int block, BlockSums sums) {
        byte[] message = withHeader(exchange, block == NO_BLOCK ? 0 : 1);
        if (block != NO_BLOCK) {
            ByteBuffer bytes =
                    littleEndian(message).position(HEADER).putInt(block).putInt(block + 1);
            bytes.asDoubleBuffer().put(sums.hi()).put(sums.lo()).put(sums.singles());
        }
        return message;
    }

    private byte[] toBytes() {
        byte[] message = withHeader(exchange, nodes.size());
        ByteBuffer bytes = littleEndian(message).position(HEADER);
        nodes.values().forEach(node -> bytes.putInt(node.from).putInt(node.to));
        nodes.values().forEach(node -> bytes.put(node.sums.duplicate()));
        return message;
    }

    /** A message of so many nodes, of which only the header is there. */
    private static byte[] withHeader(Exchange exchange, int count) {
        long length = HEADER + count * (NODE + exchange.length());
        if (length > Checks.MAX_ENTRIES) {
            throw Checks.refusal("Shard", "length of a message", length, "at most " + Checks.MAX_ENTRIES + " bytes");
        }
        byte[] message = new byte[(int) length];
        littleEndian(message)
                .putInt(VERSION)
                .putInt(exchange.network)
                .putInt(exchange.number)
                .putInt(exchange.blocks)
                .putInt(exchange.pairs)
                .putInt(exchange.singles)
                .putInt(count);
        return message;
    }

    private static ByteBuffer littleEndian(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Reads a message. Nothing of the size that it claims is allocated. */
    static ShardMessage read(byte[] message, String where, String what) {
        Checks.requireNonNull(message, where, what);
        if (message.length < HEADER) {
            throw fault(where, what, "has " + message.length + " bytes, expected at least " + HEADER);
        }
        ByteBuffer bytes = littleEndian(message);
        if (bytes.getInt() != VERSION) {
            throw fault(where, what, "is no message of a Shard of this version");
        }
        Exchange exchange =
                new Exchange(bytes.getInt(), bytes.getInt(), bytes.getInt(), bytes.getInt(), bytes.getInt());
        int count = bytes.getInt();
        boolean negative = (exchange.number | exchange.pairs | exchange.singles | count) < 0;
        if (negative || exchange.blocks < 1 || exchange.length() > Checks.MAX_ENTRIES) {
            throw fault(where, what, "has a damaged header");
        }
        long length = count * (NODE + exchange.length());
        if (message.length - HEADER != length) {
            throw fault(where, what, "has " + message.length + " bytes, expected " + (HEADER + length));
        }
        ShardMessage read = new ShardMessage(exchange);
        int sums = HEADER + count * NODE;
        for (int i = 0; i < count; i++) {
            Node node = new Node(
                    bytes.getInt(),
                    bytes.getInt(),
                    bytes.slice(sums, (int) exchange.length()).order(ByteOrder.LITTLE_ENDIAN));
            sums += (int) exchange.length();
            if (!read.isNode(node.from, node.to, 0, exchange.blocks)) {
                throw fault(
                        where, what, "has the blocks from " + node.from + " to " + node.to + ", no part of the tree");
            }
            read.add(node, where);
        }
        return read;
    }

    private static IllegalArgumentException fault(String where, String what, String fault) {
        return new IllegalArgumentException(where + ": " + what + " " + fault);
    }

    /** Whether the leaves are those of a node at or below the one with the leaves {@code first} to {@code end − 1}. */
    private boolean isNode(int from, int to, int first, int end) {
        if (from < first || to > end || from >= to) {
            return false;
        }
        if (from == first && to == end) {
            return true;
        }
        int middle = middle(first, end);
        return from < middle ? isNode(from, to, first, middle) : isNode(from, to, middle, end);
    }

    private static int middle(int first, int end) {
        return first + Integer.highestOneBit(end - first - 1);
    }

    private void add(Node node, String where) {
        Map.Entry<Integer, Node> before = nodes.lowerEntry(node.to);
        if (before != null && before.getValue().to > node.from) {
            throw Checks.occursTwice(where, "block " + Math.max(before.getKey(), node.from));
        }
        nodes.put(node.from, node);
    }

    /** The union of two messages, with siblings added. */
    static byte[] merge(byte[] one, byte[] other, String where) {
        ShardMessage merged = read(one, where, "one");
        ShardMessage second = read(other, where, "other");
        second.requireExchange(merged.exchange, where, "other");
        second.nodes.values().forEach(node -> merged.add(node, where));
        merged.addSiblings(0, merged.exchange.blocks);
        return merged.toBytes();
    }

    private void requireExchange(Exchange expected, String where, String what) {
        if (!exchange.equals(expected)) {
            String reason = exchange.blocks != expected.blocks
                    ? "a batch of " + exchange.blocks + " blocks, expected " + expected.blocks
                    : exchange.network == expected.network && exchange.number != expected.number
                            ? "exchange " + exchange.number + ", expected " + expected.number
                            : "another network, or of one with other parameters";
            throw fault(where, what, "is of " + reason);
        }
    }

    /** Puts a node in the place of its parts, from the leaves up, wherever both are there. */
    private void addSiblings(int first, int end) {
        if (nodes.subMap(first, end).size() < 2) {
            return; // nothing to add, and the tree below may be large
        }
        int middle = middle(first, end);
        addSiblings(first, middle);
        addSiblings(middle, end);
        Node left = nodes.get(first);
        Node right = nodes.get(middle);
        if (left != null && right != null && left.to == middle && right.to == end) {
            nodes.remove(middle);
            nodes.put(first, new Node(first, end, sum(left.sums, right.sums)));
        }
    }

    private ByteBuffer sum(ByteBuffer left, ByteBuffer right) {
        ByteBuffer sum = littleEndian(new byte[left.capacity()]);
        int pairs = exchange.pairs * Double.BYTES;
        for (int at = 0; at < pairs; at += Double.BYTES) {
            DoubleDouble added = pair(left, at, pairs).plus(pair(right, at, pairs));
            sum.putDouble(at, added.hi()).putDouble(at + pairs, added.lo());
        }
        for (int at = 2 * pairs; at < sum.capacity(); at += Double.BYTES) {
            sum.putDouble(at, left.getDouble(at) + right.getDouble(at));
        }
        return sum;
    }

    private static DoubleDouble pair(ByteBuffer sums, int at, int pairs) {
        return new DoubleDouble(sums.getDouble(at), sums.getDouble(at + pairs));
    }

    Exchange exchange() {
        return exchange;
    }

    /** The sums over the whole batch. */
    BlockSums ofBatch(Exchange expected, String where) {
        requireExchange(expected, where, "merged");
        List<String> missing = new ArrayList<>();
        int next = 0;
        for (Node node : nodes.values()) {
            addMissing(next, node.from, missing);
            next = node.to;
        }
        addMissing(next, exchange.blocks, missing);
        if (!missing.isEmpty()) {
            throw fault(
                    where,
                    "merged",
                    "lacks " + String.join(", ", missing) + ", expected all " + exchange.blocks + " blocks");
        }
        addSiblings(0, exchange.blocks); // a message of several nodes that nobody merged
        BlockSums sums = new BlockSums(exchange.pairs, exchange.singles);
        DoubleBuffer doubles = nodes.get(0).sums.asDoubleBuffer();
        doubles.get(sums.hi()).get(sums.lo()).get(sums.singles());
        return sums;
    }

    private static void addMissing(int from, int to, List<String> missing) {
        if (from < to) {
            missing.add(to - from == 1 ? "block " + from : "blocks " + from + " to " + (to - 1));
        }
    }
}
