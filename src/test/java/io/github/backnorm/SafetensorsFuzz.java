package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import io.github.backnorm.internal.Allocation;
import io.github.backnorm.internal.safetensors.SafetensorsFile;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Makes safetensors files, with random mistakes, and checks what the reader does with them. */
final class SafetensorsFuzz {
    /** What a mistake may insert. */
    private static final List<String> PIECES = List.of(
            "{",
            "}",
            "[",
            "]",
            "[[[[[[[[",
            "{\"\":{\"\":{\"\":",
            "\"",
            ",",
            ":",
            "\\",
            " ",
            "\n",
            "\u0000",
            "null",
            "true",
            "-1",
            "1.5",
            "1e3",
            "00",
            "9007199254740993",
            "9223372036854775807",
            "18446744073709551616",
            "4294967296",
            "2147483647",
            "2147483648",
            "\\u0061",
            "\\ud800",
            "\\udc00\\ud800",
            "é",
            "😀",
            "\"a\":",
            "\"__metadata__\":{},",
            "\"__metadata__\":{\"k\":\"v\"},",
            "\"dtype\":\"F64\",",
            "\"dtype\":\"F16\",",
            "\"I64\"",
            "\"shape\":[0],",
            "\"shape\":[],",
            "\"shape\":[1,1,1],",
            "\"shape\":[" + "1,".repeat(64) + "1],",
            "\"shape\":[2147483647,2147483647,0],",
            "\"C64\"",
            "\"U64\"",
            "\"BOOL\"",
            "\"data_offsets\":[0,0],",
            "\"b\":{\"dtype\":\"F32\",\"shape\":[0,9],\"data_offsets\":[0,0]},");

    private static final List<String> TYPES =
            List.of("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL", "C64");

    /** What strings are made of, some of them written with escapes. */
    private static final List<String> CHARACTERS =
            List.of("a", "b", "c", "0.weight", "é", "€", "😀", "\\n", "\\\"", "\\u0061", "\\ud83d\\ude00", "/");

    static final Predicate<String> ALL = name -> true;

    /** "b", "d" and so on. */
    private static final Predicate<String> SOME = name -> name.isEmpty() || name.charAt(0) % 2 == 0;

    private SafetensorsFuzz() {}

    /** A stream that delivers its bytes in pieces of random lengths, and does not expect to be closed. */
    static final class Pieces extends InputStream {
        private final byte[] bytes;
        private final Random random;
        private int delivered;

        Pieces(byte[] bytes) {
            this.bytes = bytes;
            this.random = new Random(Arrays.hashCode(bytes));
        }

        /** How many bytes have been read or skipped. */
        int delivered() {
            return delivered;
        }

        private int next(long most) {
            return 1 + random.nextInt((int) Math.min(most, bytes.length - delivered));
        }

        @Override
        public int read() {
            return delivered < bytes.length ? bytes[delivered++] & 0xFF : -1;
        }

        @Override
        public int read(byte[] into, int start, int count) {
            if (count == 0 || delivered == bytes.length) {
                return count == 0 ? 0 : -1;
            }
            int piece = next(count);
            System.arraycopy(bytes, delivered, into, start, piece);
            delivered += piece;
            return piece;
        }

        @Override
        public long skip(long count) {
            int piece = count <= 0 || delivered == bytes.length ? 0 : next(count) - 1;
            delivered += piece;
            return piece;
        }

        @Override
        public void close() {
            throw new AssertionError("closed");
        }
    }

    /** A file with the right length in front of its header. */
    static byte[] file(byte[] header, byte[] data) {
        return ByteBuffer.allocate(Long.BYTES + header.length + data.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(header.length)
                .put(header)
                .put(data)
                .array();
    }

    static byte[] file(String header, byte[] data) {
        return file(header.getBytes(StandardCharsets.UTF_8), data);
    }

    /**
     * A copy of a file with one to four mistakes, most of them in the header. The length before the header is usually
     * right for the copy. Some copies are cut short.
     */
    static byte[] mutated(byte[] original, Random random) {
        ByteBuffer file = ByteBuffer.wrap(original).order(ByteOrder.LITTLE_ENDIAN);
        int end = Long.BYTES + (int) file.getLong(0);
        byte[] header = Arrays.copyOfRange(original, Long.BYTES, end);
        byte[] data = Arrays.copyOfRange(original, end, original.length);
        int mistakes = 1 + random.nextInt(4);
        for (int i = 0; i < mistakes; i++) {
            if (random.nextInt(8) > 0) {
                header = withMistake(header, random);
            } else {
                data = withMistake(data, random);
            }
        }
        byte[] mutated = file(header, data);
        if (random.nextInt(8) == 0) {
            long length = random.nextBoolean() ? random.nextLong() >> random.nextInt(64) : random.nextInt(256);
            ByteBuffer.wrap(mutated).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
        }
        return random.nextInt(16) == 0 ? Arrays.copyOf(mutated, random.nextInt(mutated.length)) : mutated;
    }

    /** A file as the format's grammar has it, most of them valid. */
    private static byte[] generated(Random random) {
        List<String> entries = new ArrayList<>();
        int end = 0;
        for (int i = random.nextInt(4); i > 0; i--) {
            String type = TYPES.get(random.nextInt(TYPES.size()));
            int bits = type.equals("BOOL") ? Byte.SIZE : Integer.parseInt(type.replaceAll("\\D", ""));
            List<Integer> shape = random.ints(random.nextInt(4), 0, 4).boxed().toList();
            int begin = end;
            end += bits / Byte.SIZE * shape.stream().reduce(1, (a, b) -> a * b);
            entries.add(string(random) + ":"
                    + braces(
                            List.of(
                                    "\"dtype\":\"" + type + "\"",
                                    "\"shape\":" + shape,
                                    "\"data_offsets\":" + List.of(begin, end)),
                            random));
        }
        if (random.nextBoolean()) {
            List<String> metadata = Stream.generate(() -> string(random) + " : " + string(random))
                    .limit(random.nextInt(3))
                    .toList();
            entries.add("\"__metadata__\":" + braces(metadata, random));
        }
        byte[] data = new byte[end];
        if (random.nextBoolean()) {
            random.nextBytes(data);
        }
        return file(braces(entries, random), data);
    }

    private static String braces(List<String> entries, Random random) {
        List<String> inAnyOrder = new ArrayList<>(entries);
        Collections.shuffle(inAnyOrder, random);
        return "{" + String.join(random.nextBoolean() ? "," : "\n, ", inAnyOrder) + "}";
    }

    private static String string(Random random) {
        return Stream.generate(() -> CHARACTERS.get(random.nextInt(CHARACTERS.size())))
                .limit(random.nextInt(4))
                .collect(Collectors.joining("", "\"", "\""));
    }

    private static byte[] withMistake(byte[] bytes, Random random) {
        int from = random.nextInt(bytes.length + 1);
        int to = Math.min(bytes.length, from + random.nextInt(12));
        return switch (random.nextInt(6)) {
            case 0 -> replaced(bytes, from, to, new byte[0]);
            case 1 -> replaced(bytes, from, from, Arrays.copyOfRange(bytes, from, to));
            case 2 -> replaced(bytes, from, from, piece(random));
            case 3 -> replaced(bytes, from, to, piece(random));
            case 4 -> numberReplaced(bytes, from, random);
            default -> replaced(bytes, from, Math.min(bytes.length, from + 1), new byte[] {(byte) random.nextInt()});
        };
    }

    private static byte[] piece(Random random) {
        return PIECES.get(random.nextInt(PIECES.size())).getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] numberReplaced(byte[] bytes, int from, Random random) {
        int start = from;
        while (start < bytes.length && !Character.isDigit(bytes[start])) {
            start++;
        }
        int end = start;
        while (end < bytes.length && Character.isDigit(bytes[end])) {
            end++;
        }
        long number = random.nextLong() >>> random.nextInt(64);
        return replaced(bytes, start, end, Long.toString(number).getBytes(StandardCharsets.UTF_8));
    }

    private static byte[] replaced(byte[] bytes, int from, int to, byte[] by) {
        return ByteBuffer.allocate(bytes.length - (to - from) + by.length)
                .put(bytes, 0, from)
                .put(by)
                .put(bytes, to, bytes.length - to)
                .array();
    }

    /** Files that are generated, and such with mistakes, as there are of others. */
    static Fuzz.Inputs inputs() throws IOException {
        List<byte[]> seeds = seeds();
        seeds.forEach(seed -> read(seed, "seed")); // loads the classes
        return (random, description, tally) -> {
            byte[] file = random.nextBoolean() ? generated(random) : seeds.get(random.nextInt(seeds.size()));
            Safetensors content = read(random.nextInt(4) == 0 ? file : mutated(file, random), description, tally);
            if (content != null) {
                tally.addAccepted();
                ByteArrayOutputStream written = new ByteArrayOutputStream();
                content.writeTo(written);
                assertThat(read(written.toByteArray())).as(description).isEqualTo(content);
            }
        };
    }

    static Safetensors read(byte[] file) throws IOException {
        return Safetensors.read(new Pieces(file), file.length, ALL, "file");
    }

    /**
     * Reads bytes as a file and as a stream, with all names and with some. Fails if a reader throws any exception but
     * its own, if it takes more memory than {@link Safetensors#read} says, or if the readers do not agree. Returns the
     * content, or null if the file was refused.
     */
    static Safetensors read(byte[] bytes, String description) {
        return read(bytes, description, new Fuzz.Tally());
    }

    private static Safetensors read(byte[] bytes, String description, Fuzz.Tally tally) {
        Safetensors all = agreed(bytes, ALL, description, tally);
        Safetensors some = agreed(bytes, SOME, description, tally);
        Safetensors none = agreed(bytes, name -> false, description, tally);
        if (all != null) {
            Map<String, Safetensors.Tensor> expected = new HashMap<>(all.tensors());
            expected.keySet().removeIf(SOME.negate());
            assertThat(some.tensors()).as(description).isEqualTo(expected);
        }
        if (some != null) {
            assertThat(none.tensors()).as(description).isEmpty();
            assertThat(none.metadata()).as(description).isEqualTo(some.metadata());
        }
        return all;
    }

    private static Safetensors agreed(byte[] bytes, Predicate<String> names, String description, Fuzz.Tally tally) {
        Safetensors content = read(bytes, bytes.length, names, description, tally);
        assertThat(read(bytes, SafetensorsFile.UNKNOWN_SIZE, names, description, tally))
                .as(description)
                .isEqualTo(content);
        return content;
    }

    private static Safetensors read(
            byte[] bytes, long size, Predicate<String> names, String description, Fuzz.Tally tally) {
        Result result = measured(bytes, size, names);
        if (result.allocated > result.bound) {
            result = measured(bytes, size, names); // once more, as the first call may have loaded classes
        }
        if (result.other != null) {
            fail(description, result.other);
        }
        assertThat(result.allocated).as(description).isLessThanOrEqualTo(result.bound);
        if (result.content == null) {
            assertThat(result.refusal).as(description).startsWith("Safetensors.read: file: ");
        }
        tally.addReading(result.allocated, result.refusal);
        return result.content;
    }

    private record Result(Safetensors content, String refusal, Throwable other, long allocated, long bound) {}

    private static Result measured(byte[] bytes, long size, Predicate<String> names) {
        Pieces in = new Pieces(bytes);
        Safetensors content = null;
        String refusal = "";
        Throwable other = null;
        long before = Allocation.now();
        try {
            content = Safetensors.read(in, size, names, "file");
        } catch (Safetensors.FormatException refused) {
            refusal = refused.getMessage();
        } catch (IOException | RuntimeException | Error e) {
            other = e;
        }
        long allocated = Allocation.now() - before;
        long bound = size == SafetensorsFile.UNKNOWN_SIZE ? 36L * in.delivered() : boundOfFile(bytes, content, refusal);
        return new Result(content, refusal, other, allocated, bound + (1 << 16));
    }

    private static long boundOfFile(byte[] file, Safetensors content, String refusal) {
        long header = 0;
        if (file.length >= Long.BYTES) {
            long length = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).getLong();
            header = length >= 0 && length <= file.length - Long.BYTES ? length : 0;
        }
        long entries = 0;
        if (content != null) {
            for (Matrix matrix : content.state().values()) {
                entries += (long) matrix.rows() * matrix.columns();
            }
        } else if (refusal.contains("a value is")) {
            entries = file.length; // the header was checked, and its types have at least 1 byte
        }
        return 8 * entries + 32 * header;
    }

    /** What is mutated: files of every type and some ranks, one of them with types that are not supported. */
    static List<byte[]> seeds() throws IOException {
        List<byte[]> seeds = new ArrayList<>(List.of(
                file("{\"a\":" + tensor("F64", "[2]", "[0,16]") + "}", new byte[16]),
                file(
                        "{\"__metadata__\":{\"k\":\"v\"}, \"a\":" + tensor("I64", "[]", "[0,8]") + ",\"b\":"
                                + tensor("F16", "[2,2]", "[8,16]") + "}",
                        new byte[16]),
                file(
                        "{\"a\":" + tensor("C64", "[1]", "[0,8]") + ",\"b\":" + tensor("U8", "[1,3,2]", "[8,14]")
                                + ",\"c\":" + tensor("F8_E5M2", "[1]", "[14,15]") + ",\"d\":"
                                + tensor("BOOL", "[1]", "[15,16]") + "}",
                        new byte[16])));
        for (String name : List.of("dtypes", "sequential", "trained", "types")) {
            seeds.add(SafetensorsTest.reference(name + ".safetensors"));
        }
        return seeds;
    }

    static String tensor(String dtype, String shape, String offsets) {
        return "{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
    }
}
