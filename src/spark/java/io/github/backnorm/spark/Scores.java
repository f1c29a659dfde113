package io.github.backnorm.spark;

import io.github.backnorm.Matrix;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.spark.api.java.function.MapPartitionsFunction;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import scala.collection.Seq;

/**
 * What an executor does with a partition: it takes a batch of rows, computes their scores, and gives each row with a
 * further field, its scores. One field of a row, an array or a vector, holds the features.
 */
final class Scores implements MapPartitionsFunction<Row, Row> {
    private static final long serialVersionUID = 1;

    /** The class of ML's vectors; it is loaded only where a table has some. */
    static final String VECTOR = "org.apache.spark.ml.linalg.Vector";

    /** Rows at a time: enough for the products, few enough for a core's cache. */
    private static final int BATCH = 1024;

    /** How many fields of a row a message shows, and how much of each. */
    private static final int SHOWN = 5;

    private static final int SHOWN_CHARACTERS = 40;

    private final Model model;
    private final String[] names;
    private final int x;
    private final String[] features;

    /**
     * The network, the names of the table's columns that are fields of a row, the field with the features, and the
     * names of the columns that it comes from.
     */
    Scores(Model model, List<String> names, int x, String... features) {
        this.model = model;
        this.names = names.toArray(String[]::new);
        this.x = x;
        this.features = features.clone();
    }

    @Override
    public Iterator<Row> call(Iterator<Row> rows) {
        return new Scored(rows);
    }

    /** The rows with their scores; it holds one batch. */
    private final class Scored implements Iterator<Row> {
        private final Iterator<Row> rows;
        private final List<Row> batch = new ArrayList<>(BATCH);
        private int next; // in the batch
        private double[] scores;
        private int outputs;

        Scored(Iterator<Row> rows) {
            this.rows = rows;
        }

        @Override
        public boolean hasNext() {
            return next < batch.size() || rows.hasNext();
        }

        @Override
        public Row next() {
            if (next == batch.size()) {
                score();
            }
            Row row = batch.get(next);
            Object[] fields = new Object[row.length() + 1];
            for (int i = 0; i < row.length(); i++) {
                fields[i] = row.get(i);
            }
            fields[row.length()] = Arrays.copyOfRange(scores, next * outputs, (next + 1) * outputs);
            next++;
            return RowFactory.create(fields);
        }

        private void score() {
            batch.clear();
            next = 0;
            List<double[]> inputs = new ArrayList<>(BATCH);
            do {
                Row row = rows.next();
                inputs.add(numbers(row));
                batch.add(row);
            } while (batch.size() < BATCH && rows.hasNext());
            Matrix y = model.network().infer(Matrix.ofRows(inputs.toArray(double[][]::new)));
            scores = y.toArray();
            outputs = y.columns();
        }
    }

    private double[] numbers(Row row) {
        if (row.isNullAt(x)) {
            throw refusal(features[0], "null", row, "an array or a vector of numbers");
        }
        Object field = row.get(x);
        double[] numbers = field instanceof Seq<?> seq ? numbers(seq, row) : ofVector(field);
        if (!model.takes(numbers.length)) {
            throw refusal("the length of " + features[0], numbers.length, row, model.expected());
        }
        return numbers;
    }

    private double[] numbers(Seq<?> seq, Row row) {
        double[] numbers = new double[seq.length()];
        for (int j = 0; j < numbers.length; j++) {
            if (!(seq.apply(j) instanceof Number number)) {
                throw refusal(
                        features.length == numbers.length ? features[j] : features[0] + "[" + j + "]",
                        "null",
                        row,
                        "a number");
            }
            numbers[j] = number.doubleValue();
        }
        return numbers;
    }

    private static double[] ofVector(Object vector) {
        return ((Vector) vector).toArray();
    }

    private IllegalArgumentException refusal(String what, Object actual, Row row, String expected) {
        String others = IntStream.range(0, names.length)
                .filter(i -> i != x)
                .limit(SHOWN)
                .mapToObj(i -> names[i] + " = " + start(String.valueOf(row.get(i))))
                .collect(Collectors.joining(", "));
        String where = others.isEmpty() ? "" : " in the row with " + others;
        return new IllegalArgumentException(
                "Scorer.score: " + what + " is " + actual + where + ", expected " + expected);
    }

    private static String start(String text) {
        return text.length() <= SHOWN_CHARACTERS ? text : text.substring(0, SHOWN_CHARACTERS) + "…";
    }
}
