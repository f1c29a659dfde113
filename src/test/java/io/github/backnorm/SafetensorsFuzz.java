package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import io.github.backnorm.internal.Allocation;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/** Makes safetensors files with random mistakes, and checks what the reader does with them. */
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
            "\"data_offsets\":[0,0],",
            "\"b\":{\"dtype\":\"F32\",\"shape\":[0,9],\"data_offsets\":[0,0]},");

    private SafetensorsFuzz() {}

    /** A file of these bytes. It reports the given size, as a broken file system might. */
    static SeekableByteChannel channel(byte[] bytes, long size) {
        ByteBuffer content = ByteBuffer.wrap(bytes);
        return new SeekableByteChannel() {
            @Override
            public int read(ByteBuffer into) {
                if (!content.hasRemaining()) {
                    return -1;
                }
                int count = Math.min(into.remaining(), content.remaining());
                into.put(content.array(), content.position(), count);
                content.position(content.position() + count);
                return count;
            }

            @Override
            public long size() {
                return size;
            }

            @Override
            public boolean isOpen() {
                return true;
            }

            @Override
            public void close() {}

            @Override
            public int write(ByteBuffer from) {
                throw new UnsupportedOperationException();
            }

            @Override
            public long position() {
                throw new UnsupportedOperationException();
            }

            @Override
            public SeekableByteChannel position(long position) {
                throw new UnsupportedOperationException();
            }

            @Override
            public SeekableByteChannel truncate(long size) {
                throw new UnsupportedOperationException();
            }
        };
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

    /**
     * Reads a file. Fails if the reader throws any exception but its own, or if it takes more memory than {@link
     * Safetensors#read} says. Returns the content, or null if the file was refused.
     */
    static Safetensors read(byte[] file, String description) {
        long before = Allocation.now();
        Result result = read(file);
        long allocated = Allocation.now() - before;
        if (allocated > result.bound) {
            before = Allocation.now();
            read(file); // once more, as the first call may have loaded classes
            allocated = Allocation.now() - before;
        }
        if (result.other != null) {
            fail(description, result.other);
        }
        assertThat(allocated).as(description).isLessThanOrEqualTo(result.bound);
        if (result.content == null) {
            assertThat(result.refusal).as(description).startsWith("Safetensors.read: file: ");
        }
        return result.content;
    }

    private record Result(Safetensors content, String refusal, Throwable other, long bound) {}

    private static Result read(byte[] file) {
        try {
            Safetensors content = Safetensors.read(channel(file, file.length), "file");
            return new Result(content, "", null, bound(file, content, ""));
        } catch (Safetensors.FormatException refused) {
            String refusal = refused.getMessage();
            return new Result(null, refusal, null, bound(file, null, refusal));
        } catch (IOException | RuntimeException | Error other) {
            return new Result(null, "", other, Long.MAX_VALUE);
        }
    }

    private static long bound(byte[] file, Safetensors content, String refusal) {
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
            entries = file.length / 2; // the header was checked, and its types have at least 2 bytes
        }
        return 8 * entries + 32 * header + (1 << 16);
    }
}
