package io.github.backnorm.examples;

import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.CsvRecord;
import io.github.backnorm.Matrix;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.zip.GZIPInputStream;

/** Handwritten digits: N×64 pixels, 0 to 1, and for each row the digit that it shows. */
final class DigitsData {
    static final int PIXELS = 64;
    static final int CLASSES = 10;
    private static final int DARKEST = 16; // pixel

    private final Matrix pixels;
    private final int[] labels;

    private DigitsData(Matrix pixels, int[] labels) {
        this.pixels = pixels;
        this.labels = labels;
    }

    /** Reads gzipped CSV: a digit a line, 64 pixels 0 to 16 and the label. */
    static DigitsData read(InputStream gzippedCsv) throws IOException {
        List<double[]> pixels = new ArrayList<>();
        List<Integer> labels = new ArrayList<>();
        try (CsvReader<CsvRecord> lines = CsvReader.builder()
                .ofCsvRecord(new InputStreamReader(new GZIPInputStream(gzippedCsv), StandardCharsets.US_ASCII))) {
            for (CsvRecord line : lines) {
                int[] values = parse(line);
                double[] row = new double[PIXELS];
                for (int j = 0; j < PIXELS; j++) {
                    row[j] = (double) values[j] / DARKEST;
                }
                pixels.add(row);
                labels.add(values[PIXELS]);
            }
        } catch (CsvParseException | UncheckedIOException e) {
            throw new IOException(e.getMessage(), e);
        }
        return new DigitsData(
                Matrix.ofRows(pixels.toArray(double[][]::new)),
                labels.stream().mapToInt(Integer::intValue).toArray());
    }

    private static int[] parse(CsvRecord line) throws IOException {
        try {
            int[] values = line.getFields().stream().mapToInt(Integer::parseInt).toArray();
            boolean inRange = IntStream.of(values).allMatch(value -> value >= 0 && value <= DARKEST);
            if (values.length == PIXELS + 1 && inRange && values[PIXELS] < CLASSES) {
                return values;
            }
        } catch (NumberFormatException e) {
            // told below, with the line
        }
        throw new IOException("line " + line.getStartingLineNumber() + " is not 64 pixels 0 to 16 and a label 0 to 9");
    }

    int size() {
        return labels.length;
    }

    Matrix pixels() {
        return pixels;
    }

    int[] labels() {
        return labels.clone();
    }

    DigitsData select(int... rows) {
        int[] selected = new int[rows.length];
        for (int i = 0; i < rows.length; i++) {
            selected[i] = labels[rows[i]];
        }
        return new DigitsData(pixels.selectRows(rows), selected);
    }

    /** For how many rows the largest score is that of the label. */
    int right(Matrix scores) {
        int[] predicted = scores.argMaxOfRows();
        int right = 0;
        for (int i = 0; i < labels.length; i++) {
            right += predicted[i] == labels[i] ? 1 : 0;
        }
        return right;
    }
}
