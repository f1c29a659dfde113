package io.github.backnorm;

import io.github.backnorm.internal.safetensors.ElementType;
import io.github.backnorm.internal.safetensors.FormatFault;
import io.github.backnorm.internal.safetensors.SafetensorsFile;
import io.github.backnorm.internal.safetensors.StoredTensor;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Predicate;

/**
 * The content of a file in the safetensors format: tensors by name, and metadata, which are texts by name. It is
 * immutable; two are equal if their tensors and metadata are.
 *
 * <p>A state goes to a file and comes back with the same bits:
 * <pre>{@code
 * Safetensors.of(network.state()).writeTo(file);
 * network.restore(Safetensors.read(file).state());
 * }</pre>
 * {@link PyTorch} has the names and layout that PyTorch expects.
 *
 * <p>Shapes: a tensor has up to 64 dimensions. Its matrix has the last one as columns and the product of the others as
 * rows: with one dimension of length n it is 1×n, without any 1×1.
 *
 * <p>Numerical behavior: tensors of F64, F32, F16, BF16, all integer types and BOOL (as 0 and 1) are read, each entry
 * exactly, I64 and U64 up to 2⁵³ in magnitude. States are written as F64, or after {@link #asFloat32} as F32; what was
 * read keeps its type and shape. ±Infinity and −0.0 are kept; NaN stays NaN, without its payload.
 *
 * <p>The same tensors and metadata give the same bytes, whatever their order in a map: tensors are ordered by type and
 * then by name, metadata by name.
 *
 * <p>Threads: safe for use by any number of them.
 *
 * @see <a href="https://huggingface.co/docs/safetensors">Hugging Face, 2022, Safetensors</a>
 */
public final class Safetensors {
    private static final String STREAM = "the stream";

    private final SafetensorsFile content;
    private final Map<String, Tensor> tensors;

    private Safetensors(SafetensorsFile content) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        content.tensors().forEach((name, stored) -> tensors.put(name, new Tensor(stored)));
        this.content = content;
        this.tensors = Collections.unmodifiableMap(tensors);
    }

    /** The content with these tensors and metadata, whose names and texts must be valid. */
    static Safetensors of(Map<String, StoredTensor> tensors, Map<String, String> metadata) {
        return new Safetensors(new SafetensorsFile(tensors, metadata));
    }

    /** A tensor of a file: its type, its shape, and its entries as a matrix. Two are equal if all three are. */
    public static final class Tensor {
        private final StoredTensor stored;
        private final Matrix matrix;

        private Tensor(StoredTensor stored) {
            this.stored = stored;
            this.matrix = Matrix.wrap(stored.rows(), stored.columns(), stored.values());
        }

        /**
         * {@return the type of the entries in the file, in the format's words: F64, F32, F16, BF16, I8 to I64, U8 to
         * U64 or BOOL}
         */
        public String dtype() {
            return stored.type().name();
        }

        /** {@return the dimensions; none for a single value} */
        public List<Integer> shape() {
            return stored.shape();
        }

        /** {@return the entries: the last dimension as columns, the product of the others as rows} */
        public Matrix matrix() {
            return matrix;
        }

        @Override
        public boolean equals(Object object) {
            return object instanceof Tensor other
                    && stored.type() == other.stored.type()
                    && shape().equals(other.shape())
                    && matrix.equals(other.matrix);
        }

        /** {@return a hash of type, shape and bits} */
        @Override
        public int hashCode() {
            return Objects.hash(dtype(), shape(), matrix);
        }

        /** {@return type and shape: {@code F64 [2, 3]}} */
        @Override
        public String toString() {
            return dtype() + " " + shape();
        }
    }

    /** Thrown when a file is not in the format, or has content that {@link Safetensors} does not support. */
    public static final class FormatException extends IOException {
        private static final long serialVersionUID = 1;

        FormatException(String message) {
            super(message);
        }
    }

    /**
     * {@return the content that holds a state: an F64 tensor with two dimensions for each matrix, no metadata}
     *
     * @param state matrices by name, as {@link Layer#state} returns them
     * @throws IllegalArgumentException if a name is {@code __metadata__}, which the format reserves, or has half of a
     *     surrogate pair
     */
    public static Safetensors of(Map<String, Matrix> state) {
        String where = "Safetensors.of";
        Map<String, StoredTensor> tensors = new LinkedHashMap<>();
        Checks.requireNonNull(state, where, "state").forEach((name, matrix) -> {
            requireTensorName(name, where);
            Checks.requireNonNull(matrix, where, name);
            tensors.put(name, stored(matrix, matrix.rows(), matrix.columns()));
        });
        return of(tensors, Map.of());
    }

    /**
     * {@return the content that holds these tensors, each with its type and shape; no metadata} So tensors that were
     * read are renamed, dropped or put together:
     * <pre>{@code
     * Map<String, Safetensors.Tensor> renamed = new LinkedHashMap<>();
     * Safetensors.read(file).tensors().forEach((name, tensor) -> renamed.put(name.replace("net.", ""), tensor));
     * Safetensors.ofTensors(renamed).writeTo(file);
     * }</pre>
     *
     * @param tensors tensors by name
     * @throws IllegalArgumentException if a name is one that {@link #of} refuses
     */
    public static Safetensors ofTensors(Map<String, Tensor> tensors) {
        String where = "Safetensors.ofTensors";
        Map<String, StoredTensor> stored = new LinkedHashMap<>();
        Checks.requireNonNull(tensors, where, "tensors").forEach((name, tensor) -> {
            requireTensorName(name, where);
            stored.put(name, Checks.requireNonNull(tensor, where, name).stored);
        });
        return of(stored, Map.of());
    }

    private static void requireTensorName(String name, String where) {
        requireUnicode(name, where, "a name");
        if (name.equals(SafetensorsFile.METADATA)) {
            throw Checks.refusal(where, "a name", name, "any other, for the format keeps this one for metadata");
        }
    }

    private static void requireUnicode(String text, String where, String what) {
        if (!SafetensorsFile.isUnicode(Checks.requireNonNull(text, where, what))) {
            throw Checks.refusal(where, what, FormatFault.quoted(text), "Unicode without halves of surrogate pairs");
        }
    }

    /** An F64 tensor of this shape, which must have as many entries as the matrix. */
    static StoredTensor stored(Matrix matrix, Integer... shape) {
        return new StoredTensor(ElementType.F64, List.of(shape), matrix.data());
    }

    /**
     * Reads a file and trusts nothing in it.
     *
     * <p>Refused are: a header that is longer than the file or 100 MB, does not begin with an opening brace, is not
     * UTF-8 or not the JSON that the format prescribes, or has a key twice; another type; more than 64 dimensions;
     * more rows, columns or entries than a matrix can have; offsets that overlap, leave a gap or do not fit type and
     * shape; a file that is shorter or longer than its header says; an I64 or U64 beyond 2⁵³; and a BOOL other than 0
     * and 1.
     *
     * <p>Lengths are checked against the size of the file before memory is allocated: 64 KiB, 32 bytes for each byte of
     * the header and, once the whole header is checked, 8 bytes for each entry of a tensor. Time grows as the file
     * does. Even so, a file of 100 MB may list 1.7 million tensors without entries, which takes half a minute and
     * gigabytes. So of files from outside refuse those that are larger than your models, by {@code Files.size(file)}.
     *
     * @param file the file
     * @return what it holds
     * @throws FormatException if the file is refused; the message names the file, the tensor and the reason
     * @throws IOException if the file cannot be read
     */
    public static Safetensors read(Path file) throws IOException {
        return read(file, name -> true);
    }

    /**
     * Reads the tensors of a file whose names a filter accepts, as {@link #read(Path)} does. The others may have a type
     * or a shape that is not supported: of them only the offsets are checked, and their entries are not read.
     *
     * @param file the file
     * @param names whether to read a tensor of this name
     * @return what was read, with all metadata
     * @throws FormatException if the file is refused; the message names the file, the tensor and the reason
     * @throws IOException if the file cannot be read
     */
    public static Safetensors read(Path file, Predicate<String> names) throws IOException {
        Checks.requireNonNull(file, "Safetensors.read", "file");
        Checks.requireNonNull(names, "Safetensors.read", "names");
        try (SeekableByteChannel channel = Files.newByteChannel(file)) {
            return read(Channels.newInputStream(channel), channel.size(), names, file.toString());
        }
    }

    /**
     * Reads a stream to its end and trusts nothing in it; it refuses what {@link #read(Path)} refuses. Bytes in memory
     * are read as {@code new ByteArrayInputStream(bytes)}, resources of a jar by {@link Class#getResourceAsStream}. The
     * stream stays open.
     *
     * <p>The memory that is allocated does not depend on what the header says, but on what the stream delivers: 64 KiB,
     * and 36 bytes for each byte that has come. Of a stream from outside take no more than your models need, n bytes,
     * as {@code new ByteArrayInputStream(in.readNBytes(n))}: what is cut short is refused.
     *
     * @param in the stream; nothing follows the content
     * @return what it holds
     * @throws FormatException if the content is refused; the message names the tensor and the reason
     * @throws IOException if the stream cannot be read
     */
    public static Safetensors read(InputStream in) throws IOException {
        return read(in, name -> true);
    }

    /**
     * Reads the tensors of a stream whose names a filter accepts, as {@link #read(InputStream)} does. The others may
     * have a type or a shape that is not supported: of them only the offsets are checked, and their entries are
     * skipped.
     *
     * @param in the stream; nothing follows the content
     * @param names whether to read a tensor of this name
     * @return what was read, with all metadata
     * @throws FormatException if the content is refused; the message names the tensor and the reason
     * @throws IOException if the stream cannot be read
     */
    public static Safetensors read(InputStream in, Predicate<String> names) throws IOException {
        Checks.requireNonNull(in, "Safetensors.read", "in");
        Checks.requireNonNull(names, "Safetensors.read", "names");
        return read(in, SafetensorsFile.UNKNOWN_SIZE, names, STREAM);
    }

    static Safetensors read(InputStream in, long size, Predicate<String> names, String source) throws IOException {
        try {
            return new Safetensors(SafetensorsFile.read(in, size, names));
        } catch (FormatFault fault) {
            throw new FormatException("Safetensors.read: " + source + ": " + fault.getMessage());
        }
    }

    /** {@return the tensors by name, unmodifiable} */
    public Map<String, Tensor> tensors() {
        return tensors;
    }

    /**
     * {@return the tensors' matrices by name, for {@link Layer#restore}; unmodifiable} A file from PyTorch has other
     * names and transposed weights, which the shape of a square weight does not reveal: read it with {@link
     * PyTorch#network}.
     */
    public Map<String, Matrix> state() {
        Map<String, Matrix> state = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> state.put(name, tensor.matrix));
        return Collections.unmodifiableMap(state);
    }

    /** {@return the metadata, texts by name; unmodifiable} */
    public Map<String, String> metadata() {
        return content.metadata();
    }

    /**
     * {@return this content with a metadata entry added or replaced}
     *
     * @param key its name
     * @param value its text
     * @throws IllegalArgumentException if one of them has half of a surrogate pair
     */
    public Safetensors withMetadata(String key, String value) {
        requireUnicode(key, "Safetensors.withMetadata", "key");
        requireUnicode(value, "Safetensors.withMetadata", "value");
        Map<String, String> metadata = new LinkedHashMap<>(content.metadata());
        metadata.put(key, value);
        return of(content.tensors(), metadata);
    }

    /**
     * {@return the tensors and metadata of both: a model that was saved in several files}
     *
     * @param other what to add; no tensor has the name of one here, and no metadata entry has another text than here
     * @throws IllegalArgumentException if a name of a tensor is in both, or a metadata entry with different texts
     */
    public Safetensors and(Safetensors other) {
        String where = "Safetensors.and";
        Map<String, StoredTensor> tensors = new LinkedHashMap<>(content.tensors());
        Map<String, String> metadata = new LinkedHashMap<>(metadata());
        Checks.requireNonNull(other, where, "other").content.tensors().forEach((name, tensor) -> {
            if (tensors.put(name, tensor) != null) {
                throw Checks.refusal(where, "tensor " + FormatFault.quoted(name), "in both", "in one of them");
            }
        });
        other.metadata().forEach((key, value) -> {
            String old = metadata.put(key, value);
            if (old != null && !old.equals(value)) {
                throw Checks.refusal(
                        where,
                        "metadata entry " + FormatFault.quoted(key),
                        FormatFault.quoted(old) + " and " + FormatFault.quoted(value),
                        "the same in both");
            }
        });
        return of(tensors, metadata);
    }

    /**
     * {@return this content with every F64 tensor as F32: half the size, and the type of most models in PyTorch} Each
     * entry is rounded to the nearest float, ties to even; magnitudes up to 2⁻¹⁵⁰ become 0.
     *
     * @throws IllegalArgumentException if a finite entry is beyond the range of float
     */
    public Safetensors asFloat32() {
        Map<String, StoredTensor> narrow = new LinkedHashMap<>(content.tensors());
        narrow.replaceAll((name, tensor) -> tensor.type() == ElementType.F64 ? rounded(name, tensor) : tensor);
        return of(narrow, content.metadata());
    }

    private static StoredTensor rounded(String name, StoredTensor wide) {
        double[] values = wide.values().clone();
        for (int i = 0; i < values.length; i++) {
            float value = (float) values[i];
            if (Float.isInfinite(value) && Math.abs(values[i]) <= Double.MAX_VALUE) {
                throw Checks.refusal(
                        "Safetensors.asFloat32",
                        "entry " + i + " of tensor " + FormatFault.quoted(name),
                        values[i],
                        "at most " + Float.MAX_VALUE + " in magnitude");
            }
            values[i] = value;
        }
        return new StoredTensor(ElementType.F32, wide.shape(), values);
    }

    /**
     * Writes this content to a file atomically: it writes a temporary file beside it, forces that to the disk and then
     * renames it. A crash leaves the old file or the new one, and perhaps the temporary one, whose name ends with
     * {@code .tmp}. After the return even a power cut leaves the new one, where the platform can force a folder to the
     * disk: Windows cannot.
     *
     * <p>A symbolic link to a file is followed. A file that is replaced passes its POSIX permissions on, from the
     * first byte of the temporary file; its owner and group are those of a new file.
     *
     * @param file the file; replaced if it exists
     * @throws IllegalArgumentException if names and metadata make a header of more than 100 MB
     * @throws IOException if the file cannot be written, is not a regular file, or the thread is interrupted; the
     *     message names the file, and an old one stays as it was
     */
    public void writeTo(Path file) throws IOException {
        Checks.requireNonNull(file, "Safetensors.writeTo", "file");
        content.write(header(file.toString()), file);
    }

    /**
     * Writes the bytes that {@link #writeTo(Path)} writes. The stream is flushed and stays open.
     *
     * @param out the stream
     * @throws IllegalArgumentException if names and metadata make a header of more than 100 MB; nothing is written
     * @throws IOException if the stream cannot be written
     */
    public void writeTo(OutputStream out) throws IOException {
        Checks.requireNonNull(out, "Safetensors.writeTo", "out");
        content.write(header(STREAM), out);
    }

    private byte[] header(String target) {
        byte[] header = content.header();
        if (header.length > SafetensorsFile.MAX_HEADER_BYTES) {
            throw Checks.refusal(
                    "Safetensors.writeTo",
                    "header of " + target,
                    header.length + " bytes",
                    "at most " + SafetensorsFile.MAX_HEADER_BYTES);
        }
        return header;
    }

    @Override
    public boolean equals(Object object) {
        return object instanceof Safetensors other
                && tensors.equals(other.tensors)
                && metadata().equals(other.metadata());
    }

    /** {@return a hash of tensors and metadata} */
    @Override
    public int hashCode() {
        return Objects.hash(tensors, metadata());
    }

    /** {@return the names, types and shapes of the tensors, and the metadata} */
    @Override
    public String toString() {
        return "Safetensors" + tensors + metadata();
    }
}
