package io.github.backnorm.internal.safetensors;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.function.Predicate;

/**
 * The content of a safetensors file, and its writer. A file is the length of the header (8 bytes, little-endian), the
 * header ({@link SafetensorsHeader}) and the data, little-endian, without gaps. {@link SafetensorsReader} reads it.
 *
 * @see <a href="https://huggingface.co/docs/safetensors">Hugging Face, 2022, Safetensors</a>
 */
public final class SafetensorsFile {
    /** The longest header that the format allows. */
    public static final int MAX_HEADER_BYTES = 100_000_000;

    /** The key of the metadata, which no tensor can have. */
    public static final String METADATA = SafetensorsHeader.METADATA;

    /** The size of a stream that may have any. */
    public static final long UNKNOWN_SIZE = Long.MAX_VALUE;

    /** The size of the buffers for reading and writing; larger ones are no faster. */
    static final int BUFFER_BYTES = 1 << 14;

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

    /**
     * Reads a stream to its end, or throws a {@link FormatFault}. Tensors whose names are not among {@code names} are
     * left out.
     *
     * @param size the bytes that the stream has; {@link #UNKNOWN_SIZE} if only the stream knows
     */
    public static SafetensorsFile read(InputStream in, long size, Predicate<String> names) throws IOException {
        return new SafetensorsReader(in, size).read(names);
    }

    /** The header, for {@code write}. */
    public byte[] header() {
        return SafetensorsHeader.format(tensors, metadata);
    }

    /** Writes a file, which is replaced in one step, so that a crash leaves the old one or the new one. */
    public void write(byte[] header, Path file) throws IOException {
        Path target = Files.exists(file) ? file.toRealPath() : file.toAbsolutePath(); // a link stays a link
        if (Files.exists(target) && !Files.isRegularFile(target)) {
            throw new FileSystemException(file.toString(), null, "not a regular file"); // would replace a device
        }
        if (!Files.isDirectory(target.getParent())) {
            throw new NoSuchFileException(file.toString(), null, "not in a directory that exists");
        }
        try {
            replace(target, header);
        } catch (IOException e) { // names the temporary file, or none
            String reason = e instanceof FileSystemException known ? known.getReason() : e.getMessage();
            String named = reason == null ? e.getClass().getSimpleName() : reason;
            FileSystemException fault = new FileSystemException(file.toString(), null, named);
            fault.initCause(e);
            throw fault;
        }
    }

    /** Writes a temporary file, forces it to the disk, renames it, and forces its name. */
    private void replace(Path target, byte[] header) throws IOException {
        Set<StandardOpenOption> create = Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        FileAttribute<?>[] permissions = permissions(target);
        Path temporary = target.resolveSibling(".safetensors-" + UUID.randomUUID() + ".tmp");
        try {
            try (FileChannel channel = FileChannel.open(temporary, create, permissions)) {
                for (FileAttribute<?> kept : permissions) { // the process may have masked them
                    Files.setAttribute(temporary, kept.name(), kept.value());
                }
                write(header, Channels.newOutputStream(channel));
                channel.force(true);
            }
            Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(temporary);
        }
        try (FileChannel folder = FileChannel.open(target.getParent())) {
            folder.force(true);
        } catch (IOException e) {
            return; // on Windows, say, a folder is not opened; the file is written
        }
    }

    /** The permissions of a file; none of a new one, or where there are none. */
    private static FileAttribute<?>[] permissions(Path file) throws IOException {
        return Files.exists(file)
                        && file.getFileSystem().supportedFileAttributeViews().contains("posix")
                ? new FileAttribute<?>[] {PosixFilePermissions.asFileAttribute(Files.getPosixFilePermissions(file))}
                : new FileAttribute<?>[0];
    }

    /** Writes to a stream, which stays open. */
    public void write(byte[] header, OutputStream out) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        buffer.putLong(header.length);
        for (byte b : header) {
            drainIfFull(buffer, out);
            buffer.put(b);
        }
        for (StoredTensor tensor : tensors.values()) {
            for (double value : tensor.values()) {
                drainIfFull(buffer, out);
                tensor.type().put(value, buffer);
            }
        }
        drain(buffer, out);
        out.flush();
    }

    /** Makes room for one element of any type. */
    private static void drainIfFull(ByteBuffer buffer, OutputStream out) throws IOException {
        if (buffer.remaining() < Long.BYTES) {
            drain(buffer, out);
        }
    }

    private static void drain(ByteBuffer buffer, OutputStream out) throws IOException {
        out.write(buffer.array(), buffer.arrayOffset(), buffer.position());
        buffer.clear();
    }
}
