package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.github.backnorm.internal.Allocation;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The reference files come from {@code safetensors_files.py} beside them. */
final class SafetensorsTest {
    @TempDir
    private Path folder;

    static byte[] reference(String name) throws IOException {
        try (InputStream in = SafetensorsTest.class.getResourceAsStream("pytorch/" + name)) {
            return in.readAllBytes();
        }
    }

    static Safetensors readReference(String name) throws IOException {
        return SafetensorsFuzz.read(reference(name));
    }

    private static Network network(long seed) {
        Random random = new Random(seed);
        return new Network(new Affine(3, 5, random), new BatchNorm(5), new ReLU(), new Affine(5, 2, random));
    }

    private Path write(Safetensors content) throws IOException {
        Path file = folder.resolve("file.safetensors");
        content.writeTo(file);
        return file;
    }

    @Test
    void writeTo_stateOfNetwork_comesBackWithTheSameBits() throws IOException {
        Network trained = network(1);
        trained.forward(Matrix.generate(4, 3, (row, column) -> Math.sqrt(row + 2 * column)));
        Path file = write(Safetensors.of(trained.state()));
        Network restored = network(2);
        restored.restore(Safetensors.read(file).state());
        assertThat(restored.state()).isEqualTo(trained.state());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 2047, 2048, 2049, 4096, 5000})
    void writeTo_sizesAroundTheBuffers_comeBack(int size) throws IOException {
        Random random = new Random(size);
        Safetensors content = Safetensors.of(Map.of(
                "a", Matrix.generate(size, 1, (row, column) -> random.nextGaussian()),
                "b", Matrix.zeros(0, size),
                "B", Matrix.zeros(Integer.MAX_VALUE - size, 0),
                "c", Matrix.generate(1, size, (row, column) -> random.nextFloat())));
        assertThat(Safetensors.read(write(content))).isEqualTo(content);
        assertThat(Safetensors.read(write(content.asFloat32()))).isEqualTo(content.asFloat32());
    }

    @Test
    void writeTo_specialValues_areKept() throws IOException {
        Matrix special = Matrix.ofRow(
                0.0, -0.0, Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, Double.MIN_VALUE, -1e308);
        Safetensors content = Safetensors.of(Map.of("special", special));
        assertThat(Safetensors.read(write(content)).state()).containsExactly(Map.entry("special", special));
    }

    @Test
    void writeTo_sameState_givesTheSameBytes() throws IOException {
        Map<String, Matrix> forth = new LinkedHashMap<>();
        Map<String, Matrix> back = new LinkedHashMap<>();
        for (int i = 0; i < 20; i++) {
            forth.put("n" + i, Matrix.ofRow(i, Double.NaN));
            back.put("n" + (19 - i), Matrix.ofRow(19 - i, Double.longBitsToDouble(0x7FF8_0000_0000_0000L + i)));
        }
        byte[] bytes = Files.readAllBytes(
                write(Safetensors.of(forth).withMetadata("a", "1").withMetadata("b", "2")));
        assertThat(Files.readAllBytes(
                        write(Safetensors.of(back).withMetadata("b", "2").withMetadata("a", "1"))))
                .isEqualTo(bytes);
    }

    @Test
    void writeTo_oneMatrix_isTheFormatByteForByte() throws IOException {
        String header = "{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"F64\",\"shape\":[1,2],"
                + "\"data_offsets\":[0,16]}}      ";
        assertThat(header).hasSize(88); // a multiple of 8
        byte[] data = ByteBuffer.allocate(16)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putDouble(1)
                .putDouble(-2)
                .array();
        Path file = write(Safetensors.of(Map.of("a", Matrix.ofRow(1, -2))).withMetadata("k", "v"));
        assertThat(Files.readAllBytes(file)).isEqualTo(SafetensorsFuzz.file(header, data));
    }

    @Test
    void writeTo_nothing_isTheFormatByteForByte() throws IOException {
        assertThat(bytes(Safetensors.of(Map.of()))).isEqualTo(SafetensorsFuzz.file("{}      ", new byte[0]));
    }

    /** The writer puts the empty one first, by its name; in a header of others it may be the last. */
    @Test
    void read_emptyTensorAfterFullOneAtItsBegin_isAccepted() throws IOException {
        String header = "{\"b\":" + tensor("U8", "[2]", "[0,2]") + ",\"a\":" + tensor("U8", "[0]", "[0,0]") + "}";
        assertThat(read(SafetensorsFuzz.file(header, new byte[] {3, 4})).state())
                .isEqualTo(Map.of("b", Matrix.ofRow(3, 4), "a", Matrix.zeros(1, 0)));
    }

    static List<Arguments> escapes() {
        return List.of(
                arguments("\\n", "\n"),
                arguments("é\\n", "é\n"),
                arguments("\\u00e9€", "é€"),
                arguments("€\\/\\\"\\\\\\b\\f\\r\\t", "€/\"\\\b\f\r\t"),
                arguments("\\uD83D\\ude00é", "😀é"));
    }

    @ParameterizedTest
    @MethodSource("escapes")
    void read_escapes_areWhatTheyStandFor(String escaped, String text) throws IOException {
        String header =
                "{\"__metadata__\":{\"before\":\"é\",\"%s\":\"%s\",\"after\":\"x\"}}".formatted(escaped, escaped);
        assertThat(read(SafetensorsFuzz.file(header, new byte[0])).metadata())
                .isEqualTo(Map.of("before", "é", text, text, "after", "x"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"dtypes", "types", "sequential-logits", "trained-logits", "trained"})
    void writeTo_fileOfPython_givesItsBytesBack(String name) throws IOException {
        Path file = write(readReference(name + ".safetensors"));
        assertThat(Files.readAllBytes(file)).isEqualTo(reference(name + ".safetensors"));
    }

    @Test
    void read_everyTypeFromPython_isWhatPyTorchTakesItFor() throws IOException {
        Map<String, Safetensors.Tensor> tensors =
                readReference("dtypes.safetensors").tensors();
        Map<String, String> types = Map.of(
                "torch.float64", "F64", "torch.float32", "F32", "torch.float16", "F16", "torch.bfloat16", "BF16");
        for (String name : types.keySet()) {
            Safetensors.Tensor tensor = tensors.get(name);
            assertThat(tensor).hasToString(types.get(name) + " [3, 4]");
            assertThat(tensor.matrix())
                    .isEqualTo(tensors.get(name + " as float64").matrix());
        }
        assertThat(tensors.get("i64").dtype()).isEqualTo("I64");
        assertThat(tensors.get("i64").matrix()).isEqualTo(Matrix.ofRow(0x1p53, -0x1p53, 0, -1));
        assertThat(tensors.get("rank 0").shape()).isEmpty();
        assertThat(tensors.get("rank 0").matrix()).isEqualTo(Matrix.ofRow(7));
        assertThat(tensors.get("empty").matrix()).isEqualTo(Matrix.zeros(0, 3));
        assertThat(tensors.get("row").shape()).containsExactly(1, 3);
        assertThat(tensors.get("i64").shape()).containsExactly(4);
        assertThat(tensors.get("name \"\\\n\u0001é€😀").matrix()).isEqualTo(Matrix.ofRow(1));
    }

    @Test
    void read_everyTypeFromNumPy_isWhatNumPyTakesItFor() throws IOException {
        Map<String, Safetensors.Tensor> tensors =
                readReference("types.safetensors").tensors();
        Map<String, String> types = new HashMap<>(Map.of("bool", "BOOL [1, 2, 1]", "float16", "F16 [2, 1, 2]"));
        for (int bits : new int[] {8, 16, 32, 64}) {
            types.put("int" + bits, "I" + bits + " [1, 3, 1, 2]");
            types.put("uint" + bits, "U" + bits + " [3, 2, 1]");
        }
        types.forEach((name, type) -> {
            assertThat(tensors.get(name)).hasToString(type);
            assertThat(tensors.get(name).matrix())
                    .isEqualTo(tensors.get(name + " as float64").matrix());
        });
        assertThat(tensors.get("uint64").matrix()).isEqualTo(Matrix.of(6, 1, 0, 1, 0x1p53 - 1, 0x1p53 - 1, 0x1p53, 5));
        assertThat(tensors.get("empty")).hasToString("I32 [2, 0, 3]");
        assertThat(tensors.get("empty").matrix()).isEqualTo(Matrix.zeros(0, 3));
        assertThat(tensors.get("single")).hasToString("U8 []");
        assertThat(tensors.get("single").matrix()).isEqualTo(Matrix.ofRow(200));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "[]; 1; 1",
                "[6]; 1; 6",
                "[9]; 1; 9",
                "[0]; 1; 0",
                "[2,3]; 2; 3",
                "[1,2,3]; 2; 3",
                "[3,1,2,1]; 6; 1",
                "[2,0,3]; 0; 3",
                "[0,2147483647,2147483647]; 0; 2147483647",
                "[2147483647,2147483647,0,5]; 0; 5",
                "[2147483647,1,0]; 2147483647; 0"
            })
    void read_shape_hasTheLastDimensionAsColumnsAndTheOthersAsRows(String shape, int rows, int columns)
            throws IOException {
        byte[] data = new byte[rows * columns];
        double[] values = new double[rows * columns];
        for (int i = 0; i < data.length; i++) {
            data[i] = (byte) i;
            values[i] = i;
        }
        byte[] file =
                SafetensorsFuzz.file("{\"a\":" + tensor("U8", shape, "[0," + data.length + "]") + "}      ", data);
        Safetensors.Tensor tensor = read(file).tensors().get("a");
        assertThat(tensor.shape().toString().replace(" ", "")).isEqualTo(shape);
        assertThat(tensor.matrix()).isEqualTo(Matrix.of(rows, columns, values));
        assertThat(read(bytes(read(file))).tensors().get("a")).isEqualTo(tensor);
    }

    @Test
    void read_64Dimensions_comeBackWithTheSameBytes() throws IOException {
        String header = "{\"a\":" + tensor("I16", "[2" + ",1".repeat(63) + "]", "[0,4]") + "}";
        byte[] file = SafetensorsFuzz.file(header + " ".repeat(-header.length() & 7), new byte[] {1, 0, -1, -1});
        Safetensors content = read(file);
        assertThat(content.state()).isEqualTo(Map.of("a", Matrix.of(2, 1, 1, -1)));
        assertThat(bytes(content)).isEqualTo(file);
    }

    private static byte[] bytes(Safetensors content) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        content.writeTo(out);
        return out.toByteArray();
    }

    @ParameterizedTest
    @ValueSource(strings = {"dtypes", "types", "sequential", "trained"})
    void read_streamInPieces_isWhatTheFileHolds(String name) throws IOException {
        byte[] bytes = reference(name + ".safetensors");
        Safetensors content = Safetensors.read(Files.write(folder.resolve("file"), bytes));
        assertThat(content.tensors()).isNotEmpty();
        assertThat(Safetensors.read(new SafetensorsFuzz.Pieces(bytes))).isEqualTo(content);
        assertThat(Safetensors.read(new ByteArrayInputStream(bytes))).isEqualTo(content);
    }

    /** Arrays are doubled when they are full. */
    @ParameterizedTest
    @ValueSource(ints = {2047, 2048, 2049, 4096, 4097, 10_000, 100_000})
    void read_streamOfSizesAroundTheArrays_isWhatWasWritten(int size) throws IOException {
        Random random = new Random(size);
        Safetensors large =
                Safetensors.of(Map.of("a", Matrix.generate(size, 1, (row, column) -> random.nextGaussian())));
        Safetensors longHeader = Safetensors.of(Map.of()).withMetadata("k", "x".repeat(size));
        for (Safetensors content : List.of(large, longHeader)) {
            assertThat(SafetensorsFuzz.read(bytes(content), "size " + size)).isEqualTo(content);
        }
    }

    @Test
    void read_streamThatEndsEarly_refusedWithWhatIsMissing() throws IOException {
        byte[] whole = reference("trained.safetensors");
        assertThatThrownBy(() -> Safetensors.read(new ByteArrayInputStream(whole, 0, 8)))
                .isExactlyInstanceOf(Safetensors.FormatException.class)
                .hasMessage("Safetensors.read: the stream: the content is fewer than 10 bytes, expected at least 10");
        assertThatThrownBy(() -> Safetensors.read(new ByteArrayInputStream(whole, 0, whole.length - 1)))
                .isExactlyInstanceOf(Safetensors.FormatException.class)
                .hasMessage("Safetensors.read: the stream: tensor \"3.weight\": the content is fewer than "
                        + whole.length + " bytes, expected at least " + whole.length);
    }

    @Test
    void read_streamThatGoesOn_refusedAfterOneByteMore() throws IOException {
        byte[] whole = reference("trained.safetensors");
        SafetensorsFuzz.Pieces endless = new SafetensorsFuzz.Pieces(Arrays.copyOf(whole, whole.length + 100_000));
        assertThatThrownBy(() -> Safetensors.read(endless))
                .isExactlyInstanceOf(Safetensors.FormatException.class)
                .hasMessage("Safetensors.read: the stream: the content is more than " + whole.length
                        + " bytes, expected " + whole.length + ", where the last tensor of the header ends");
        assertThat(endless.delivered()).isEqualTo(whole.length + 1);
    }

    static List<Arguments> streamsThatLie() {
        byte[] header = Arrays.copyOf(withLength(100_000_000), 20);
        header[9] = ' ';
        String tensors = "{\"a\":" + tensor("U8", "[2000000000]", "[0,2000000000]") + "}";
        String longest = "{\"a\":" + tensor("U8", "[2147482624]", "[0,2147482624]") + "}";
        String leftOut = "{\"left out\":" + tensor("U8", "[2000000000]", "[0,2000000000]") + "}";
        return List.of(
                arguments("header", header, 100_000_008),
                arguments("tensor", SafetensorsFuzz.file(tensors, new byte[5]), 2_000_000_079),
                arguments("longest tensor", SafetensorsFuzz.file(longest, new byte[5]), 2_147_482_703),
                arguments("tensor left out", SafetensorsFuzz.file(leftOut, new byte[5]), 2_000_000_086));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("streamsThatLie")
    void read_streamThatHasLessThanItSays_refusedWithoutTheMemory(String what, byte[] bytes, int said) {
        assertThat(SafetensorsFuzz.read(bytes, what)).isNull(); // asserts the bound
        assertThatThrownBy(() -> Safetensors.read(new ByteArrayInputStream(bytes), name -> name.equals("a")))
                .isExactlyInstanceOf(Safetensors.FormatException.class)
                .hasMessageStartingWith("Safetensors.read: the stream: ")
                .hasMessageEndingWith("the content is fewer than " + said + " bytes, expected at least " + said);
    }

    @Test
    void read_compressedStream_isReadOrFailsByItsOwnException() throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (OutputStream compressed = new GZIPOutputStream(out)) {
            compressed.write(reference("types.safetensors"));
        }
        byte[] bytes = out.toByteArray();
        assertThat(Safetensors.read(new GZIPInputStream(new ByteArrayInputStream(bytes))))
                .isEqualTo(readReference("types.safetensors"));
        InputStream cut = new GZIPInputStream(new ByteArrayInputStream(bytes, 0, bytes.length / 2));
        assertThatThrownBy(() -> Safetensors.read(cut)).isExactlyInstanceOf(EOFException.class);
    }

    /** Tensors a, of C64 and three dimensions, b, which is read, c, of 100 dimensions, and d, of 1 MB. */
    private static byte[] withMuchToLeaveOut() {
        byte[] data = new byte[1_000_036];
        data[24] = 7;
        return SafetensorsFuzz.file(
                "{\"__metadata__\":{\"k\":\"v\"},\"a\":" + tensor("C64", "[1,3,1]", "[0,24]") + ",\"b\":"
                        + tensor("U8", "[2,2]", "[24,28]") + ",\"c\":"
                        + tensor("F4", "[4294967296,4294967296" + ",0".repeat(98) + "]", "[28,36]") + ",\"d\":"
                        + tensor("U8", "[1000,1000]", "[36,1000036]") + "}",
                data);
    }

    @Test
    void read_filterOfNames_leavesOutWhatIsNotSupported() throws IOException {
        byte[] bytes = withMuchToLeaveOut();
        Path file = Files.write(folder.resolve("file"), bytes);
        Safetensors expected = read(SafetensorsFuzz.file(
                        "{\"b\":" + tensor("U8", "[2,2]", "[0,4]") + "}", new byte[] {7, 0, 0, 0}))
                .withMetadata("k", "v");
        assertThat(Safetensors.read(file, Set.of("b")::contains)).isEqualTo(expected);
        assertThat(Safetensors.read(new SafetensorsFuzz.Pieces(bytes), Set.of("b")::contains))
                .isEqualTo(expected);
        assertThatThrownBy(() -> Safetensors.read(file)).hasMessageContaining("tensor \"a\": dtype is \"C64\"");
        assertThatThrownBy(() -> Safetensors.read(file, Set.of("c")::contains))
                .hasMessageContaining("tensor \"c\": dtype is \"F4\"");
    }

    @Test
    void read_filterOfNames_takesNoMemoryForWhatItLeavesOut() throws IOException {
        byte[] bytes = withMuchToLeaveOut();
        Path file = Files.write(folder.resolve("file"), bytes);
        Safetensors.read(file, Set.of("b")::contains); // loads the classes
        Safetensors.read(new ByteArrayInputStream(bytes), Set.of("b")::contains);
        long before = Allocation.now();
        Safetensors.read(file, Set.of("b")::contains);
        long ofFile = Allocation.now() - before;
        Safetensors.read(new ByteArrayInputStream(bytes), Set.of("b")::contains);
        long ofStream = Allocation.now() - before - ofFile;
        int header = bytes.length - Long.BYTES - 1_000_036;
        assertThat(ofFile).isLessThan((1 << 16) + 32 * header + 4 * 8);
        assertThat(ofStream).isLessThan((1 << 16) + 36 * (header + 4));
    }

    @ParameterizedTest
    @CsvSource({
        "'[0,8]', '[9,17]', 'data_offsets is [9, 17], expected a begin at 8, for the data have no gaps'",
        "'[0,8]', '[7,16]', 'data_offsets is [7, 16], expected a begin at 8, where the tensor before it ends'",
        "'[0,8]', '[16,8]', 'data_offsets is [16, 8], expected a begin that is not above the end'"
    })
    void read_offsetsOfWhatIsLeftOut_areChecked(String a, String b, String reason) {
        byte[] bytes = SafetensorsFuzz.file(
                "{\"a\":" + tensor("F64", "[1]", a) + ",\"b\":" + tensor("?", "[1]", b) + "}", new byte[16]);
        assertThatThrownBy(() -> Safetensors.read(new ByteArrayInputStream(bytes), "a"::equals))
                .isExactlyInstanceOf(Safetensors.FormatException.class)
                .hasMessage("Safetensors.read: the stream: tensor \"b\": " + reason);
    }

    /** A stream from a file skips more than the file has. */
    @Test
    void read_fileStreamWithoutTheEndOfWhatIsLeftOut_refused() throws IOException {
        byte[] bytes = withMuchToLeaveOut();
        Path file = Files.write(folder.resolve("file"), Arrays.copyOf(bytes, bytes.length - 1));
        try (InputStream in = new FileInputStream(file.toFile())) {
            assertThatThrownBy(() -> Safetensors.read(in, "b"::equals))
                    .isExactlyInstanceOf(Safetensors.FormatException.class)
                    .hasMessage("Safetensors.read: the stream: the content is fewer than " + bytes.length
                            + " bytes, expected at least " + bytes.length);
        }
    }

    @Test
    void readAndWriteTo_null_refusedByName() {
        InputStream in = InputStream.nullInputStream();
        Map<String, ThrowingCallable> calls = Map.of(
                "read: file", () -> Safetensors.read((Path) null),
                "read: in", () -> Safetensors.read((InputStream) null),
                "read: names", () -> Safetensors.read(in, null),
                "writeTo: file", () -> Safetensors.of(Map.of()).writeTo((Path) null),
                "writeTo: out", () -> Safetensors.of(Map.of()).writeTo((OutputStream) null),
                "and: other", () -> Safetensors.of(Map.of()).and(null),
                "ofTensors: tensors", () -> Safetensors.ofTensors(null));
        calls.forEach((what, call) -> assertThatThrownBy(call)
                .isInstanceOf(NullPointerException.class)
                .hasMessage("Safetensors." + what + " is null, expected a value"));
        assertThatThrownBy(() -> Safetensors.read(folder, null))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("Safetensors.read: names is null, expected a value");
    }

    static List<Arguments> otherFormats() {
        String inPyTorch = "in Python call safetensors.torch.save_file(model.state_dict(), \"model.safetensors\")";
        String inNumPy = "in Python call safetensors.numpy.save_file({\"name\": array}, \"model.safetensors\")";
        String zip = "a zip archive, as torch.save and numpy.savez write";
        String pickle = "a pickle, as old versions of torch.save write";
        return List.of(
                arguments("PK\3\4\24\0\0\0\0\0", zip, inPyTorch),
                arguments("PK\3\4\0\0\0\0\0\0", zip, inPyTorch), // 67 MB as the length of a header
                arguments("\u0080\2\u008a\12l\u00fc\u009cF\u00f9\40", pickle, inPyTorch),
                arguments("\u0080\3}q\0.\0\0\0\0", pickle, inPyTorch),
                arguments("\u0080\4\0\0\0\0\0\0\0\0", pickle, inPyTorch), // 1152 as the length of a header
                arguments("\u0080\5\u0095\12\0\0\0\0\0\0", pickle, inPyTorch),
                arguments("\u0093NUMPY\1\0v\0{'descr'", "an array, as numpy.save writes", inNumPy),
                arguments("\u0089HDF\r\n\u001a\n\0\0", "an HDF5 file", inNumPy),
                arguments(
                        "\u001f\u008b\10\0\0\0\0\0\0\3",
                        "compressed by gzip",
                        "read it through a java.util.zip.GZIPInputStream"));
    }

    @ParameterizedTest
    @MethodSource("otherFormats")
    void read_otherFormat_isNamedWithWhatToDo(String start, String what, String advice) throws IOException {
        byte[] bytes = start.getBytes(StandardCharsets.ISO_8859_1);
        String reason = "the content is " + what + ", expected a safetensors file; " + advice;
        assertRefused(bytes, reason);
        assertThatThrownBy(() -> Safetensors.read(new ByteArrayInputStream(bytes)))
                .isExactlyInstanceOf(Safetensors.FormatException.class)
                .hasMessage("Safetensors.read: the stream: " + reason);
    }

    @ParameterizedTest
    @ValueSource(strings = {"\u0080\1", "\u0080\6", "PK\3\5", "\u001f\u009d"})
    void read_noKnownFormat_isNotNamed(String start) throws IOException {
        byte[] bytes = Arrays.copyOf(start.getBytes(StandardCharsets.ISO_8859_1), 10);
        bytes[7] = 1;
        assertThatThrownBy(() -> read(bytes))
                .hasMessageEndingWith("expected at most 100000000; is it a safetensors file?");
    }

    /** The bytes of these lengths are those by which gzip and pickles begin. */
    @ParameterizedTest
    @ValueSource(ints = {0x8b1f, 0x0280, 0x0480})
    void read_lengthOfTheHeaderLooksLikeAnotherFormat_isRead(int length) throws IOException {
        assertThat(read(SafetensorsFuzz.file("{}" + " ".repeat(length - 2), new byte[0])))
                .isEqualTo(Safetensors.of(Map.of()));
    }

    @Test
    void read_headerInAnotherOrderWithEscapesAndSpace_isUnderstood() throws IOException {
        String header = "{ \"b\" : {\"data_offsets\":[8,16] ,\"shape\":[ ],\t\"dtype\":\"I64\"},\r\n"
                + "\"\\u0061\\/\\ud83d\\ude00\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                + "\"__metadata__\":{}}\n  ";
        byte[] data = ByteBuffer.allocate(16)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putFloat(1.5f)
                .putFloat(-2)
                .putLong(3)
                .array();
        assertThat(read(SafetensorsFuzz.file(header, data)).state())
                .isEqualTo(Map.of("a/😀", Matrix.ofRow(1.5, -2), "b", Matrix.ofRow(3)));
    }

    private static String tensor(String dtype, String shape, String offsets) {
        return SafetensorsFuzz.tensor(dtype, shape, offsets);
    }

    private static final String LEAVE_OUT = "; a filter of names leaves the tensor out: read(file, names)";

    static List<Arguments> malformedHeaders() {
        String a = "{\"a\":" + tensor("F64", "[2]", "[0,16]");
        String inA = "tensor \"a\": ";
        return List.of(
                arguments("", "the header does not begin with {"),
                arguments(" {}", "the header does not begin with {"),
                arguments("[]", "the header does not begin with {"),
                arguments("{", "header ends where a string is expected"),
                arguments("{\"a", "header ends within a string, which began at byte 1"),
                arguments("{\"a\\", "header ends within a string, which began at byte 1"),
                arguments("{\"a\" 1}", "byte 5 of the header is 1, expected :"),
                arguments("{\"a\":1}", inA + "byte 5 of the header is 1, expected {"),
                arguments("{\"a\":{}}", inA + "byte 6 of the header is }, expected a string"),
                arguments("{\"a\":[[[[", inA + "byte 5 of the header is [, expected {"),
                arguments("{a:1}", "byte 1 of the header is a, expected a string"),
                arguments("{\"a\u0001\":1}", "byte 3 of the header is 0x01, expected no control character in a string"),
                arguments("{\"a\u0000\":1}", "byte 3 of the header is 0x00, expected no control character in a string"),
                arguments("{é", "byte 1 of the header is 0xc3, expected a string"),
                arguments("{~", "byte 1 of the header is ~, expected a string"),
                arguments("{\u007f", "byte 1 of the header is 0x7f, expected a string"),
                arguments("{\"\\u123٣\":1}", "the string at byte 1 of the header has \\u without four digits"),
                arguments("{\"\\x\":1}", "the string at byte 1 of the header has an escape that JSON does not know"),
                arguments("{\"\\u12g4\":1}", "the string at byte 1 of the header has \\u without four digits"),
                arguments("{\"\\u123\":1}", "the string at byte 1 of the header has \\u without four digits"),
                arguments( // of the string before it, the reader's array still has digits
                        "{\"__metadata__\":{\"é0000000\":\"\\u123\"}}",
                        "__metadata__: the string at byte 29 of the header has \\u without four digits"),
                arguments("{\"\\ud800\":1}", "the string at byte 1 of the header has half of a surrogate pair"),
                arguments("{\"\\udc00\\ud800\":1}", "the string at byte 1 of the header has half of a surrogate pair"),
                arguments(a, "header ends where , or } is expected"),
                arguments(a + "},", "byte 55 of the header is ,, expected nothing but white space"),
                arguments(a + ",}", "byte 55 of the header is }, expected a string"),
                arguments(a + "," + a.substring(1) + "}", "the key \"a\" occurs twice"),
                arguments("{\"__metadata__\":{},\"__metadata__\":{}}", "the key \"__metadata__\" occurs twice"),
                arguments("{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}}", "__metadata__: the key \"k\" occurs twice"),
                arguments(
                        "{\"__metadata__\":{\"k\":1}}", "__metadata__: byte 21 of the header is 1, expected a string"),
                arguments("{\"__metadata__\":null}", "__metadata__: byte 16 of the header is n, expected {"),
                arguments("{\"a\":{\"dtype\":\"F64\",\"dtype\":\"F64\"}}", inA + "the key \"dtype\" occurs twice"),
                arguments("{\"a\":{\"shape\":[],\"shape\":[]}}", inA + "the key \"shape\" occurs twice"),
                arguments(
                        "{\"a\":{\"data_offsets\":[0,0],\"data_offsets\":[0,0]}}",
                        inA + "the key \"data_offsets\" occurs twice"),
                arguments("{\"a\":{\"type\":1}}", inA + "a key is \"type\", expected dtype, shape or data_offsets"),
                arguments(
                        "{\"a\":{\"shape\":[],\"data_offsets\":[0,8]}}",
                        inA + "dtype, shape or data_offsets is missing"),
                arguments(
                        "{\"a\":{\"dtype\":\"F64\",\"data_offsets\":[0,8]}}",
                        inA + "dtype, shape or data_offsets is missing"),
                arguments("{\"a\":{\"dtype\":\"F64\",\"shape\":[]}}", inA + "dtype, shape or data_offsets is missing"),
                arguments(
                        "{\"a\":" + tensor("F8_E4M3", "[16]", "[0,16]") + "}",
                        inA + "dtype is \"F8_E4M3\", expected U64, I64, F64, F32, U32, I32, BF16, F16,"
                                + " U16, I16, I8, U8, BOOL" + LEAVE_OUT),
                arguments(
                        "{\"a\":" + tensor("F64", "[2" + ",1".repeat(64) + "]", "[0,16]") + "}",
                        inA + "the number of dimensions is 65, expected at most 64" + LEAVE_OUT),
                arguments(
                        "{\"a\":" + tensor("F64", "[2147483647,2147483647,0]", "[0,16]") + "}",
                        inA + "shape is [2147483647, 2147483647, 0], expected a product of all but the last"
                                + " dimension of at most 2147483647" + LEAVE_OUT),
                arguments(
                        "{\"a\":" + tensor("F64", "[65536,65536,65536,65536,1]", "[0,0]") + "}", // 2⁶⁴ entries
                        inA
                                + "shape is [65536, 65536, 65536, 65536, 1], expected a product of all but the last"
                                + " dimension of at most 2147483647" + LEAVE_OUT),
                arguments(
                        "{\"a\":" + tensor("F64", "[-2]", "[0,16]") + "}",
                        inA + "byte 29 of the header is -, expected an integer that is not negative"),
                arguments(
                        "{\"a\":" + tensor("F64", "[2.0]", "[0,16]") + "}",
                        inA + "byte 30 of the header is ., expected , or ]"),
                arguments(
                        "{\"a\":" + tensor("F64", "[02]", "[0,16]") + "}",
                        inA + "byte 30 of the header is 2, expected an integer of at most 18 digits, the first of them"
                                + " not 0"),
                arguments(
                        "{\"a\":" + tensor("F64", "[1000000000000000000]", "[0,16]") + "}",
                        inA + "byte 47 of the header is 0, expected an integer of at most 18 digits, the first of them"
                                + " not 0"),
                arguments(
                        "{\"a\":" + tensor("F64", "[0,2147483648]", "[0,16]") + "}",
                        inA + "shape is [0, 2147483648], expected dimensions of at most 2147483647" + LEAVE_OUT),
                arguments(
                        "{\"a\":" + tensor("F64", "[2147482624,2147482624]", "[0,16]") + "}",
                        inA + "shape is [2147482624, 2147482624], expected at most 2147482624 entries" + LEAVE_OUT),
                arguments(
                        "{\"a\":" + tensor("F64", "[2]", "[]") + "}",
                        inA + "the number of data_offsets is 0, expected 2"),
                arguments(
                        "{\"a\":" + tensor("F64", "[2]", "[16]") + "}",
                        inA + "the number of data_offsets is 1, expected 2"),
                arguments(
                        "{\"a\":" + tensor("F64", "[2]", "[0,16,16]") + "}",
                        inA + "the number of data_offsets is 3, expected 2"),
                arguments(
                        "{\"a\":" + tensor("F64", "[2]", "[16,0]") + "}",
                        inA + "data_offsets is [16, 0], expected a begin that is not above the end"),
                arguments(
                        "{\"a\":" + tensor("F64", "[3]", "[0,16]") + "}",
                        inA + "data_offsets is [0, 16], expected a distance of 24 bytes (F64 of shape [3])"),
                arguments(
                        "{\"a\":" + tensor("F64", "[1]", "[0,16]") + "}",
                        inA + "data_offsets is [0, 16], expected a distance of 8 bytes (F64 of shape [1])"),
                arguments(
                        "{\"a\":" + tensor("F64", "[1]", "[8,16]") + "}",
                        inA + "data_offsets is [8, 16], expected a begin at 0, for the data have no gaps"),
                arguments(
                        a + ",\"b\":" + tensor("F64", "[1]", "[8,16]") + "}",
                        "tensor \"b\": data_offsets is [8, 16], expected a begin at 16, where the tensor before it"
                                + " ends"),
                arguments(
                        "{\"a\":" + tensor("F64", "[1]", "[0,8]") + "}",
                        "the content is 78 bytes, expected 70, where the last tensor of the header ends"),
                arguments(
                        "{\"a\":" + tensor("F64", "[3]", "[0,24]") + "}",
                        "the content is 79 bytes, expected at least 87"),
                arguments(
                        "{\"a\":" + tensor("F64", "[100000000]", "[0,800000000]") + "}",
                        "the content is 94 bytes, expected at least 800000078"),
                arguments(
                        "{\"\\u202e\\n" + "x".repeat(100) + "\":1}",
                        "tensor \"\\u202e\\u000a" + "x".repeat(78) + "…\": byte 112 of the header is 1, expected {"));
    }

    /** Each header comes with 16 bytes of data. */
    @ParameterizedTest
    @MethodSource("malformedHeaders")
    void read_malformedHeader_refusedWithFileNameAndReason(String header, String reason) throws IOException {
        assertRefused(SafetensorsFuzz.file(header, new byte[16]), reason);
    }

    static List<Arguments> malformedFiles() {
        String bounds = ", expected at most 100000000; is it a safetensors file?";
        byte[] badUtf8 = SafetensorsFuzz.file(new byte[] {'{', '"', (byte) 0xC0, (byte) 0xAF, '"'}, new byte[0]);
        byte[] encodedSurrogate =
                SafetensorsFuzz.file(new byte[] {'{', '"', (byte) 0xED, (byte) 0xA0, (byte) 0x80, '"'}, new byte[0]);
        byte[] integer = SafetensorsFuzz.file(
                "{\"a\":" + tensor("I64", "[1]", "[0,8]") + "}", new byte[] {1, 0, 0, 0, 0, 0, 0x20, 0});
        return List.of(
                arguments(new byte[0], "the content is 0 bytes, expected at least 10"),
                arguments(new byte[9], "the content is 9 bytes, expected at least 10"),
                arguments(new byte[10], "the header does not begin with {"),
                arguments(withLength(3), "the content is 10 bytes, expected at least 11"),
                arguments(withLength(100_000_000), "the content is 10 bytes, expected at least 100000008"),
                arguments(withLength(100_000_001), "the length of the header is 100000001" + bounds),
                arguments(withLength(Long.MAX_VALUE), "the length of the header is 9223372036854775807" + bounds),
                arguments(withLength(-1), "the length of the header is 18446744073709551615" + bounds),
                arguments(badUtf8, "the string at byte 1 of the header has bytes that are not UTF-8"),
                arguments(encodedSurrogate, "the string at byte 1 of the header has bytes that are not UTF-8"),
                arguments(
                        integer,
                        "tensor \"a\": a value is 9007199254740993, expected at most 2^53 in magnitude,"
                                + " beyond which doubles have gaps" + LEAVE_OUT),
                arguments(
                        SafetensorsFuzz.file("{\"a\":" + tensor("BOOL", "[2]", "[0,2]") + "}", new byte[] {1, -1}),
                        "tensor \"a\": a value is 255, expected 0 or 1"));
    }

    private static byte[] withLength(long length) {
        byte[] file = SafetensorsFuzz.file("{}", new byte[0]);
        ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
        return file;
    }

    @ParameterizedTest
    @MethodSource("malformedFiles")
    void read_malformedFile_refusedWithFileAndReason(byte[] bytes, String reason) throws IOException {
        assertRefused(bytes, reason);
    }

    private void assertRefused(byte[] bytes, String reason) throws IOException {
        Path file = Files.write(folder.resolve("bad.safetensors"), bytes);
        assertThatThrownBy(() -> Safetensors.read(file))
                .isExactlyInstanceOf(Safetensors.FormatException.class)
                .isInstanceOf(IOException.class)
                .hasMessage("Safetensors.read: " + file + ": " + reason);
    }

    private static Safetensors read(byte[] bytes) throws IOException {
        return SafetensorsFuzz.read(bytes);
    }

    @Test
    void read_everyTruncation_refused() throws IOException {
        byte[] whole = reference("dtypes.safetensors");
        for (int length = 0; length < whole.length; length++) {
            assertThat(SafetensorsFuzz.read(Arrays.copyOf(whole, length), "length " + length))
                    .isNull();
        }
        assertThat(SafetensorsFuzz.read(Arrays.copyOf(whole, whole.length + 1), "longer"))
                .isNull();
    }

    @Test
    void read_fileThatShrinksMeanwhile_refused() throws IOException {
        byte[] whole = reference("dtypes.safetensors");
        for (int length = 0; length < whole.length; length++) {
            InputStream in = new ByteArrayInputStream(whole, 0, length);
            assertThatThrownBy(() -> Safetensors.read(in, whole.length, SafetensorsFuzz.ALL, "file"))
                    .isInstanceOf(Safetensors.FormatException.class)
                    .hasMessageMatching(".*: the content is fewer than (\\d+) bytes, expected at least \\1");
        }
    }

    @Test
    void read_noSuchFile_isTheFileSystemsException() {
        assertThatThrownBy(() -> Safetensors.read(folder.resolve("none"))).isInstanceOf(NoSuchFileException.class);
    }

    @Test
    void read_mutatedFiles_refusedOrReadWithinTheMemoryBound() throws IOException {
        int count = 10_000;
        assertThat(Fuzz.run("files", count, 1).accepted()).isBetween(count / 20, count / 2); // both ways are gone
    }

    static List<String> densestHeaders() {
        StringBuilder tensors = new StringBuilder("{");
        StringBuilder ranks = new StringBuilder("{");
        StringBuilder metadata = new StringBuilder("{\"__metadata__\":{");
        StringBuilder shortTexts = new StringBuilder(metadata); // as many as just make the map's table grow
        for (int i = 0; i < 1537; i++) {
            shortTexts
                    .append(i == 0 ? "" : ",")
                    .append('"')
                    .append((char) (0x100 + i))
                    .append("\":\"ā\\n\"");
        }
        for (int i = 0; i < 20_000; i++) {
            String separator = i == 0 ? "" : ",";
            String name = "\"" + Integer.toString(i, 36) + "\":";
            tensors.append(separator).append(name).append(tensor("F16", "[0,0]", "[0,0]"));
            ranks.append(separator).append(name).append(tensor("U8", "[0" + ",1000".repeat(63) + "]", "[0,0]"));
            metadata.append(separator).append(name).append("\"\"");
        }
        String text = "{\"__metadata__\":{\"\":\"%s\"}}";
        return List.of(
                tensors + "}",
                ranks + "}",
                metadata + "}}",
                shortTexts + "}}",
                text.formatted("é".repeat(1 << 18)),
                text.formatted("€" + "x".repeat(1 << 18)),
                text.formatted("€" + "\\n".repeat(1 << 18)));
    }

    @ParameterizedTest
    @MethodSource("densestHeaders")
    void read_densestHeader_staysWithinTheMemoryBound(String header) throws IOException {
        SafetensorsFuzz.read(SafetensorsFuzz.file("{}", new byte[0]), "warm-up");
        assertThat(SafetensorsFuzz.read(SafetensorsFuzz.file(header, new byte[0]), "header"))
                .isNotNull();
    }

    @ParameterizedTest
    @ValueSource(strings = {"0,", "128,", "99999999999,"})
    void read_longestShape_staysWithinTheMemoryBound(String dimension) throws IOException {
        String header = "{\"a\":" + tensor("U8", "[" + dimension.repeat(200_000) + "0]", "[0,0]") + "}";
        assertThat(SafetensorsFuzz.read(SafetensorsFuzz.file(header, new byte[0]), "shape"))
                .isNull();
        assertRefused(
                SafetensorsFuzz.file(header, new byte[0]),
                "tensor \"a\": the number of dimensions is 200001, expected at most 64" + LEAVE_OUT);
    }

    @Test
    void read_deepNesting_refused() throws IOException {
        assertRefused(
                SafetensorsFuzz.file("{\"a\":{\"shape\":" + "[".repeat(1 << 20), new byte[0]),
                "tensor \"a\": byte 15 of the header is [, expected an integer that is not negative");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2047, 2048, 5000})
    void writeTo_stream_givesTheFilesBytesAndLeavesItOpen(int size) throws IOException {
        Safetensors content =
                Safetensors.of(Map.of("a", Matrix.filled(1, size, Math.PI))).and(readReference("types.safetensors"));
        List<String> calls = new ArrayList<>();
        ByteArrayOutputStream out = new ByteArrayOutputStream() {
            @Override
            public void flush() {
                calls.add("flush after " + count);
            }

            @Override
            public void close() {
                calls.add("close");
            }
        };
        content.writeTo(out);
        assertThat(out.toByteArray()).isEqualTo(Files.readAllBytes(write(content)));
        assertThat(calls).containsExactly("flush after " + out.size());
    }

    @Test
    void writeTo_existingFile_isReplacedNotWrittenInto() throws IOException {
        Path file = write(Safetensors.of(Map.of("a", Matrix.ofRow(1))));
        byte[] old = Files.readAllBytes(file);
        try (InputStream in = Files.newInputStream(file)) {
            write(Safetensors.of(Map.of("a", Matrix.ofRow(2))));
            assertThat(in.readAllBytes()).isEqualTo(old); // who was reading goes on reading the old one
        }
        assertThat(Safetensors.read(file).state()).isEqualTo(Map.of("a", Matrix.ofRow(2)));
        assertThat(files()).containsExactly(file);
    }

    @Test
    void writeTo_placeThatCannotBeReplaced_leavesNothingBehind() throws IOException {
        Path taken =
                Files.createDirectories(folder.resolve("taken/by a folder")).getParent();
        Safetensors content = Safetensors.of(Map.of("a", Matrix.ofRow(1)));
        assertThatThrownBy(() -> content.writeTo(taken))
                .isInstanceOf(FileSystemException.class)
                .hasMessage(taken + ": not a regular file");
        Path homeless = folder.resolve("none/file");
        assertThatThrownBy(() -> content.writeTo(homeless))
                .isInstanceOf(NoSuchFileException.class)
                .hasMessage(homeless + ": not in a directory that exists");
        assertThat(files()).containsExactly(taken);
    }

    @Test
    void writeTo_symbolicLink_writesWhereItLeads() throws IOException {
        Path file = write(Safetensors.of(Map.of("a", Matrix.ofRow(1))));
        Path link = Files.createSymbolicLink(folder.resolve("link"), file);
        Safetensors content = Safetensors.of(Map.of("a", Matrix.ofRow(2)));
        content.writeTo(link);
        assertThat(link).isSymbolicLink();
        assertThat(Safetensors.read(file)).isEqualTo(content);
    }

    /** A zip file system; it replaces no file unless it is asked to. */
    @Test
    void writeTo_otherFileSystemTwice_replacesTheFile() throws IOException {
        URI zip = URI.create("jar:" + folder.resolve("file.zip").toUri());
        try (FileSystem files = FileSystems.newFileSystem(zip, Map.of("create", "true"))) {
            Path file = files.getPath("without a folder");
            Safetensors.of(Map.of("a", Matrix.ofRow(1))).writeTo(file);
            Safetensors content = Safetensors.of(Map.of("a", Matrix.ofRow(2)));
            content.writeTo(file);
            assertThat(Safetensors.read(file)).isEqualTo(content);
            try (Stream<Path> all = Files.list(files.getPath("/"))) {
                assertThat(all).containsExactly(file.toAbsolutePath());
            }
        }
    }

    /** The second is more open than the usual umask lets a new file be, and the third cannot be opened for writing. */
    @ParameterizedTest
    @ValueSource(strings = {"rw-------", "rw-rw-rw-", "r--r-----"})
    void writeTo_existingFile_keepsItsPermissions(String permissions) throws IOException {
        Path file = write(Safetensors.of(Map.of()));
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(permissions));
        Safetensors content = Safetensors.of(Map.of("a", Matrix.ofRow(2)));
        content.writeTo(file);
        assertThat(Safetensors.read(file)).isEqualTo(content);
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
                .isEqualTo(permissions);
    }

    @Test
    void writeTo_newFile_hasThePermissionsOfAnyNewFile() throws IOException {
        Path other = Files.write(folder.resolve("other"), new byte[0]);
        assertThat(Files.getPosixFilePermissions(write(Safetensors.of(Map.of()))))
                .isEqualTo(Files.getPosixFilePermissions(other));
    }

    /** Others cannot read the temporary file either. */
    @Test
    @Timeout(60)
    void writeTo_privateFile_isPrivateWhileItIsWritten() throws IOException {
        Path file = write(Safetensors.of(Map.of()));
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
        Safetensors content = Safetensors.of(Map.of("a", Matrix.zeros(1000, 1000)));
        AtomicBoolean seen = new AtomicBoolean();
        CompletableFuture<Void> writer = CompletableFuture.runAsync(() -> {
            while (!seen.get()) {
                try {
                    content.writeTo(file);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        });
        Set<String> permissions = new HashSet<>();
        while (!seen.get()) {
            for (Path path : files()) {
                if (path.toString().endsWith(".tmp")) {
                    try {
                        permissions.add(PosixFilePermissions.toString(Files.getPosixFilePermissions(path)));
                        seen.set(Files.size(path) > 0);
                    } catch (NoSuchFileException renamed) {
                        seen.set(false); // meanwhile: the next one
                    }
                }
            }
        }
        writer.join();
        assertThat(permissions).containsExactly("rw-------");
    }

    /** Folders so deep that the path of a file with a short name is not too long, and that of the temporary one is. */
    @Test
    void writeTo_temporaryFileCannotBeMade_exceptionNamesTheFile() throws IOException {
        Path deep = folder;
        for (int length : new int[] {200, 40}) {
            for (boolean tooLong = false; !tooLong; ) {
                try {
                    deep = Files.createDirectory(deep.resolve("d".repeat(length)));
                } catch (FileSystemException e) {
                    tooLong = true;
                }
            }
        }
        Path file = deep.resolve("f");
        assertThatThrownBy(() -> Safetensors.of(Map.of()).writeTo(file))
                .isExactlyInstanceOf(FileSystemException.class)
                .hasMessage(file + ": File name too long");
        assertThat(file).doesNotExist();
    }

    @Test
    void writeTo_threadIsInterrupted_exceptionSaysSoAndTheOldFileStays() throws IOException {
        Safetensors old = Safetensors.of(Map.of("a", Matrix.ofRow(1)));
        Path file = write(old);
        Thread.currentThread().interrupt();
        assertThatThrownBy(() -> Safetensors.of(Map.of()).writeTo(file))
                .isExactlyInstanceOf(FileSystemException.class)
                .hasMessage(file + ": ClosedByInterruptException");
        assertThat(Thread.interrupted()).isTrue();
        assertThat(Safetensors.read(file)).isEqualTo(old);
        assertThat(files()).containsExactly(file);
    }

    private List<Path> files() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.toList();
        }
    }

    @Test
    void writeTo_headerAbove100Megabytes_refused() {
        Path file = folder.resolve("file");
        Safetensors content = Safetensors.of(Map.of()).withMetadata("k", "x".repeat(100_000_000));
        assertThatThrownBy(() -> content.writeTo(file))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage(
                        "Safetensors.writeTo: header of " + file + " is 100000032 bytes, expected at most 100000000");
        assertThat(file).doesNotExist();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        assertThatThrownBy(() -> content.writeTo(out))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("Safetensors.writeTo: header of the stream is 100000032 bytes, expected at most 100000000");
        assertThat(out.size()).isZero();
    }

    @Test
    void writeTo_headerOf100Megabytes_accepted() throws IOException {
        byte[] bytes = bytes(Safetensors.of(Map.of()).withMetadata("k", "x".repeat(99_999_975)));
        assertThat(bytes).hasSize(8 + 100_000_000);
    }

    @Test
    void asFloat32_f64_isRoundedToNearestEven() {
        double half = 0x1p-24; // half the distance from 1 to the next float
        Matrix wide = Matrix.ofRow(1 + half, 1 + 3 * half, 1 + 1.5 * half, 1e-50, -0.0, 1 / 0.0, 0.0 / 0.0);
        Safetensors.Tensor narrow =
                Safetensors.of(Map.of("a", wide)).asFloat32().tensors().get("a");
        assertThat(narrow).hasToString("F32 [1, 7]");
        assertThat(narrow.matrix())
                .isEqualTo(Matrix.ofRow(1, 1 + 4 * half, 1 + 2 * half, 0.0, -0.0, 1 / 0.0, 0.0 / 0.0));
    }

    @Test
    void asFloat32_otherTypesAndMetadata_areKept() throws IOException {
        Safetensors content = readReference("dtypes.safetensors");
        Map<String, Safetensors.Tensor> tensors = new HashMap<>(content.tensors());
        tensors.values().removeIf(tensor -> tensor.dtype().equals("F64"));
        assertThat(tensors).hasSize(6);
        assertThatThrownBy(content::asFloat32)
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("1.0E300");
        Safetensors half = read(SafetensorsFuzz.file("{\"a\":" + tensor("F16", "[2]", "[0,4]") + "}", new byte[4]))
                .withMetadata("k", "v");
        assertThat(half.asFloat32()).isEqualTo(half);
    }

    @Test
    void asFloat32_beyondFloat_refused() {
        Safetensors content = Safetensors.of(Map.of("a", Matrix.ofRow(0, -1e39)));
        assertThatThrownBy(content::asFloat32)
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage(
                        "Safetensors.asFloat32: entry 1 of tensor \"a\" is -1.0E39, expected at most 3.4028235E38 in"
                                + " magnitude");
        Safetensors most = Safetensors.of(Map.of("a", Matrix.ofRow(Double.MAX_VALUE)));
        assertThatThrownBy(most::asFloat32).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void of_nameThatTheFormatCannotHold_refused() {
        Matrix matrix = Matrix.ofRow(1);
        assertThatThrownBy(() -> Safetensors.of(Map.of("__metadata__", matrix)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("Safetensors.of: a name is __metadata__, expected any other, for the format keeps this one"
                        + " for metadata");
        assertThatThrownBy(() -> Safetensors.of(Map.of("a\ud800", matrix)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage(
                        "Safetensors.of: a name is \"a\\ud800\", expected Unicode without halves of surrogate pairs");
    }

    @Test
    void ofTensors_tensorsThatWereRead_keepTypeAndShape() throws IOException {
        Safetensors content = readReference("types.safetensors");
        Map<String, Safetensors.Tensor> renamed = new HashMap<>();
        content.tensors().forEach((name, tensor) -> renamed.put("net." + name, tensor));
        Safetensors other = Safetensors.read(write(Safetensors.ofTensors(renamed)));
        assertThat(other.tensors()).isEqualTo(renamed);
        assertThat(other.metadata()).isEmpty();
        Map<String, Safetensors.Tensor> back = new LinkedHashMap<>();
        other.tensors().forEach((name, tensor) -> back.put(name.replace("net.", ""), tensor));
        String generator = content.metadata().get("generator");
        assertThat(bytes(Safetensors.ofTensors(back).withMetadata("generator", generator)))
                .isEqualTo(reference("types.safetensors"));
    }

    @Test
    void ofTensors_mapChangesLater_contentDoesNot() {
        Safetensors content = Safetensors.of(Map.of("a", Matrix.ofRow(1)));
        Map<String, Safetensors.Tensor> tensors = new HashMap<>(content.tensors());
        Safetensors copy = Safetensors.ofTensors(tensors);
        tensors.clear();
        assertThat(copy).isEqualTo(content);
    }

    @Test
    void ofTensors_nameOrTensorThatTheFormatCannotHold_refused() {
        Map<String, Safetensors.Tensor> tensors = new HashMap<>();
        tensors.put("a", null);
        assertThatThrownBy(() -> Safetensors.ofTensors(tensors))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("Safetensors.ofTensors: a is null, expected a value");
        Safetensors.Tensor tensor =
                Safetensors.of(Map.of("a", Matrix.ofRow(1))).tensors().get("a");
        assertThatThrownBy(() -> Safetensors.ofTensors(Map.of("__metadata__", tensor)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("Safetensors.ofTensors: a name is __metadata__, expected any other, for the format keeps"
                        + " this one for metadata");
    }

    @Test
    void and_shards_areTheWholeWithEqualMetadataOnce() throws IOException {
        Safetensors whole = readReference("types.safetensors").withMetadata("format", "pt");
        byte[] bytes = bytes(whole);
        Safetensors first = Safetensors.read(new ByteArrayInputStream(bytes), name -> name.startsWith("int"))
                .withMetadata("shard", "1");
        Safetensors second = Safetensors.read(new ByteArrayInputStream(bytes), name -> !name.startsWith("int"));
        assertThat(first.tensors()).hasSize(8);
        assertThat(first.and(second)).isEqualTo(whole.withMetadata("shard", "1"));
        assertThat(bytes(second.and(first))).isEqualTo(bytes(first.and(second)));
        assertThat(first.tensors()).hasSize(8);
    }

    @Test
    void and_tensorInBoth_refused() {
        Safetensors content = Safetensors.of(Map.of("a", Matrix.ofRow(1), "b", Matrix.ofRow(2)));
        Safetensors other = Safetensors.of(Map.of("b", Matrix.ofRow(2)));
        assertThatThrownBy(() -> content.and(other))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("Safetensors.and: tensor \"b\" is in both, expected in one of them");
    }

    @Test
    void and_metadataDiffers_refused() {
        Safetensors content = Safetensors.of(Map.of()).withMetadata("k", "v\n");
        Safetensors other = Safetensors.of(Map.of()).withMetadata("k", "w");
        assertThatThrownBy(() -> content.and(other))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage(
                        "Safetensors.and: metadata entry \"k\" is \"v\\u000a\" and \"w\", expected the same in both");
    }

    @Test
    void of_null_refusedByName() {
        assertThatThrownBy(() -> Safetensors.of(null))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("Safetensors.of: state is null, expected a value");
        Map<String, Matrix> state = new HashMap<>();
        state.put("a", null);
        assertThatThrownBy(() -> Safetensors.of(state))
                .isInstanceOf(NullPointerException.class)
                .hasMessage("Safetensors.of: a is null, expected a value");
    }

    @Test
    void withMetadata_halfASurrogatePair_refused() {
        Safetensors content = Safetensors.of(Map.of());
        assertThatThrownBy(() -> content.withMetadata("k", "\udc00"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage(
                        "Safetensors.withMetadata: value is \"\\udc00\", expected Unicode without halves of surrogate"
                                + " pairs");
        assertThatThrownBy(() -> content.withMetadata("\udc00", "v")).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void withMetadata_anyText_comesBackAndReplaces() throws IOException {
        StringBuilder text = new StringBuilder("😀\u2028");
        for (char c = 0; c < 0x100; c++) {
            text.append(c);
        }
        Safetensors content = Safetensors.of(Map.of("a", Matrix.ofRow(1)));
        Safetensors more =
                content.withMetadata(text + "k", "").withMetadata("k", "old").withMetadata("k", text + "");
        assertThat(content.metadata()).isEmpty();
        assertThat(more.metadata()).isEqualTo(Map.of(text + "k", "", "k", text + ""));
        assertThat(Safetensors.read(write(more))).isEqualTo(more);
    }

    @Test
    void collections_ofContent_areUnmodifiable() {
        Safetensors content = Safetensors.of(Map.of("a", Matrix.ofRow(1)));
        for (Map<String, ?> map : List.of(content.tensors(), content.state(), content.metadata())) {
            assertThatThrownBy(map::clear).isInstanceOf(UnsupportedOperationException.class);
        }
        assertThatThrownBy(() -> content.tensors().get("a").shape().clear())
                .isInstanceOf(UnsupportedOperationException.class);
    }

    @Test
    void equals_typeShapeBitsOrMetadataDiffer_false() throws IOException {
        Safetensors content = Safetensors.of(Map.of("a", Matrix.ofRow(0, 1)));
        assertThat(Safetensors.of(Map.of("a", Matrix.ofRow(0, 1))))
                .isEqualTo(content)
                .hasSameHashCodeAs(content)
                .hasToString("Safetensors{a=F64 [1, 2]}{}");
        byte[] data = ByteBuffer.allocate(16)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putDouble(8, 1)
                .array();
        Safetensors row = read(SafetensorsFuzz.file("{\"a\":" + tensor("F64", "[2]", "[0,16]") + "}", data));
        assertThat(row.state()).isEqualTo(content.state());
        assertThat(row).doesNotHaveSameHashCodeAs(content);
        assertThat(row.tensors().get("a"))
                .doesNotHaveSameHashCodeAs(content.tensors().get("a"));
        assertThat(List.of(
                        row,
                        content.asFloat32(),
                        content.withMetadata("k", "v"),
                        Safetensors.of(Map.of("a", Matrix.ofRow(-0.0, 1))),
                        Safetensors.of(Map.of("b", Matrix.ofRow(0, 1)))))
                .allSatisfy(other -> assertThat(other).isNotEqualTo(content));
    }
}
