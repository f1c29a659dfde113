package io.github.backnorm.examples;

import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.FieldMismatchStrategy;
import de.siegmar.fastcsv.reader.NamedCsvRecord;
import io.github.backnorm.Matrix;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.zip.GZIPInputStream;

/** A table of numbers whose columns have names. */
final class TabularData {
    private final Path file;
    private final List<String> names;
    private final List<Long> lines; // of the file, one for each row
    private final Matrix values;

    private TabularData(Path file, List<String> names, List<Long> lines, Matrix values) {
        this.file = file;
        this.names = names;
        this.lines = lines;
        this.values = values;
    }

    /** Reads CSV with a header, gzipped if the file's name ends with .gz. */
    static TabularData read(Path file) throws IOException {
        List<String> names = List.of();
        List<Long> lines = new ArrayList<>();
        List<double[]> rows = new ArrayList<>();
        try (InputStream in = new FileInputStream(file.toFile());
                CsvReader<NamedCsvRecord> csv = CsvReader.builder()
                        .detectBomHeader(true) // as some spreadsheets write it
                        .missingFieldStrategy(FieldMismatchStrategy.IGNORE) // told below, with line and column
                        .extraFieldStrategy(FieldMismatchStrategy.IGNORE)
                        .allowUnclosedQuote(false)
                        .ofNamedCsvRecord(file.toString().endsWith(".gz") ? new GZIPInputStream(in) : in)) {
            for (NamedCsvRecord line : csv) {
                names = line.getHeader();
                if (line.getFieldCount() > names.size()) {
                    throw new IOException("line " + line.getStartingLineNumber() + " has " + line.getFieldCount()
                            + " cells, expected " + names.size());
                }
                lines.add(line.getStartingLineNumber());
                double[] row = new double[names.size()];
                for (int j = 0; j < row.length; j++) {
                    row[j] = number(line, j);
                }
                rows.add(row);
            }
        } catch (FileNotFoundException e) {
            throw e; // names the file
        } catch (IOException | UncheckedIOException | CsvParseException e) {
            Throwable reason = e instanceof UncheckedIOException ? e.getCause() : e;
            throw new IOException(file + ": " + Objects.requireNonNullElse(reason.getMessage(), "ends too early"), e);
        }
        return new TabularData(file, names, lines, Matrix.ofRows(rows.toArray(double[][]::new)));
    }

    /** The table that comes with the examples. */
    static Path example() {
        try {
            return Path.of(TabularData.class.getResource("breast-cancer.csv.gz").toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    private static double number(NamedCsvRecord line, int column) throws IOException {
        String cell = column < line.getFieldCount() ? line.getField(column) : "";
        try {
            double number = Double.parseDouble(cell);
            if (Double.isFinite(number)) {
                return number;
            }
        } catch (NumberFormatException e) {
            // told below, with line and column
        }
        throw new IOException("line " + line.getStartingLineNumber() + ", column "
                + line.getHeader().get(column) + " is \"" + cell.replaceAll("\\s+", " ")
                + "\", expected a finite number");
    }

    void requireRows(int least) throws IOException {
        if (values.rows() < least) {
            throw new IOException(file + ": there are " + values.rows() + " rows, expected at least " + least);
        }
    }

    List<String> names() {
        return names;
    }

    /** The columns of these names, in this order, wherever they are in the file. */
    Matrix columns(List<String> wanted) throws IOException {
        int[] columns = wanted.stream().mapToInt(names::indexOf).toArray();
        for (int j = 0; j < columns.length; j++) {
            if (columns[j] < 0) {
                throw new IOException(file + ": line 1, column " + wanted.get(j) + " is missing");
            }
        }
        return Matrix.generate(values.rows(), columns.length, (row, j) -> values.get(row, columns[j]));
    }

    /** The column of this name, of numbers 0 and 1. */
    Matrix labels(String name) throws IOException {
        Matrix labels = columns(List.of(name));
        for (int i = 0; i < labels.rows(); i++) {
            double label = labels.get(i, 0);
            if (label != 0 && label != 1) {
                throw new IOException(
                        file + ": line " + lines.get(i) + ", column " + name + " is " + label + ", expected 0 or 1");
            }
        }
        double ones = labels.sum();
        if (ones == 0 || ones == labels.rows()) {
            throw new IOException(file + ": column " + name + " is " + labels.get(0, 0) + " in all rows");
        }
        return labels;
    }
}
