package io.github.backnorm.internal.safetensors;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;

/**
 * The content of a safetensors file, its reader and its writer. A file is the length of the header (8 bytes,
 * little-endian), the header ({@link SafetensorsHeader}) and the data, little-endian, without gaps.
 *
 * <p>The reader trusts nothing. It allocates memory only for lengths that have been checked against the size of the
 * file: for the header and, once the whole header is checked, 8 bytes for each element. Data pass through a buffer of
 * {@value #BUFFER_BYTES} bytes; the JDK may hold a second one outside the heap.
 *
 * @see <a href="https://huggingface.co/docs/safetensors">Hugging Face, 2022, Safetensors</a>
 */
public final class SafetensorsFile {
    /** The longest header that the format allows. */
    public static final int MAX_HEADER_BYTES = 100_000_000;

    /** The key of the metadata, which no tensor can have. */
    public static final String METADATA = SafetensorsHeader.METADATA;

    private static final int BUFFER_BYTES = 1 << 14; // larger ones read no faster

    private final Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    private final Map<String, String> metadata;

    /**
     * A file with these tensors and metadata, whose names and texts must be Unicode. Tensors are ordered by element
     * type and then by name, metadata by name, so that the same content is the same bytes.
     */
    public SafetensorsFile(Map<String, StoredTensor> tensors, Map<String, String> metadata) {
        tensors.entrySet().stream()
                .sorted(Comparator.<Map.Entry<String, StoredTensor>, ElementType>comparing(
                                entry -> entry.getValue().type())
                        .thenComparing(Map.Entry::getKey))
                .forEach(entry -> this.tensors.put(entry.getKey(), entry.getValue()));
        this.metadata = new TreeMap<>(metadata);
    }

    /** Whether the format can hold a text: it must not have half of a surrogate pair. */
    public static boolean isUnicode(String text) {
        return !JsonScanner.hasLoneSurrogate(text);
    }

    /** The tensors by name, in the file's order. */
    public Map<String, StoredTensor> tensors() {
        return Collections.unmodifiableMap(tensors);
    }

    /** The metadata, in the order of the names. */
    public Map<String, String> metadata() {
        return Collections.unmodifiableMap(metadata);
    }

    /** Reads a channel from its beginning to its end; a {@link FormatFault} if it holds no such file. */
    public static SafetensorsFile read(SeekableByteChannel channel) throws IOException {
        long size = channel.size();
        if (size < Long.BYTES) {
            throw new FormatFault("the file", size + " bytes", "at least " + Long.BYTES);
        }
        ByteBuffer buffer = ByteBuffer.allocate(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        fill(buffer, Long.BYTES, channel);
        long length = buffer.getLong(); // unsigned: what is negative here is longer than any file
        long most = Math.min(MAX_HEADER_BYTES, size - Long.BYTES);
        if (length < 0 || length > most) {
            throw new FormatFault(
                    "the length of the header",
                    Long.toUnsignedString(length),
                    "at most " + most + " (the file has " + size + " bytes, a header at most " + MAX_HEADER_BYTES
                            + "); is it a safetensors file?");
        }
        byte[] json = new byte[(int) length];
        for (int start = 0; start < json.length; start += BUFFER_BYTES) {
            int bytes = Math.min(json.length - start, BUFFER_BYTES);
            fill(buffer, bytes, channel);
            buffer.get(json, start, bytes);
        }
        SafetensorsHeader header = SafetensorsHeader.parse(json, size - Long.BYTES - length);
        Map<String, StoredTensor> tensors = new LinkedHashMap<>();
        for (SafetensorsHeader.Place place : header.places()) {
            try {
                double[] values = values(place, buffer, channel);
                tensors.put(place.name(), new StoredTensor(place.type(), place.shape(), values));
            } catch (FormatFault fault) {
                throw fault.in(SafetensorsHeader.tensor(place.name()));
            }
        }
        return new SafetensorsFile(tensors, header.metadata());
    }

    private static double[] values(SafetensorsHeader.Place place, ByteBuffer buffer, SeekableByteChannel channel)
            throws IOException {
        ElementType type = place.type();
        double[] values = new double[place.size()];
        int perBuffer = BUFFER_BYTES / type.bytes();
        for (int i = 0; i < values.length; ) {
            int count = Math.min(values.length - i, perBuffer);
            fill(buffer, count * type.bytes(), channel);
            for (int end = i + count; i < end; i++) {
                values[i] = type.get(buffer);
            }
        }
        return values;
    }

    /** Fills the buffer with {@code bytes} bytes of the channel, ready to be read. */
    private static void fill(ByteBuffer buffer, int bytes, SeekableByteChannel channel) throws IOException {
        buffer.clear().limit(bytes);
        while (buffer.hasRemaining()) {
            if (channel.read(buffer) < 0) {
                throw new FormatFault("the file became shorter while it was read");
            }
        }
        buffer.flip();
    }

    /** The header, for {@link #write}. */
    public byte[] header() {
        return SafetensorsHeader.format(tensors, metadata);
    }

    /**
     * Writes a temporary file, forces it to the disk and renames it in one step, so that a crash leaves the old file or
     * the new one.
     */
    public void write(byte[] header, Path file) throws IOException {
        Path target = Files.exists(file) ? file.toRealPath() : file.toAbsolutePath(); // a link stays a link
        if (Files.exists(target) && !Files.isRegularFile(target)) {
            throw new FileSystemException(file.toString(), null, "not a regular file"); // would replace a device
        }
        if (!Files.isDirectory(target.getParent())) {
            throw new NoSuchFileException(file.toString(), null, "not in a directory that exists");
        }
        Path temporary = target.resolveSibling(".safetensors-" + UUID.randomUUID() + ".tmp");
        try {
            try (FileChannel channel =
                    FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                writeAll(header, channel);
                channel.force(true);
            }
            Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }

    private void writeAll(byte[] header, FileChannel channel) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        buffer.putLong(header.length);
        for (byte b : header) {
            drainIfFull(buffer, channel);
            buffer.put(b);
        }
        for (StoredTensor tensor : tensors.values()) {
            for (double value : tensor.values()) {
                drainIfFull(buffer, channel);
                tensor.type().put(value, buffer);
            }
        }
        drain(buffer, channel);
    }

    /** Makes room for one element of any type. */
    private static void drainIfFull(ByteBuffer buffer, FileChannel channel) throws IOException {
        if (buffer.remaining() < Long.BYTES) {
            drain(buffer, channel);
        }
    }

    private static void drain(ByteBuffer buffer, FileChannel channel) throws IOException {
        buffer.flip();
        while (buffer.hasRemaining()) {
            channel.write(buffer);
        }
        buffer.clear();
    }
}
