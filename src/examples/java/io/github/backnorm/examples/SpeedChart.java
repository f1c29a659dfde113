package io.github.backnorm.examples;

import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.NamedCsvRecord;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import org.knowm.xchart.AnnotationLine;
import org.knowm.xchart.HorizontalBarChart;
import org.knowm.xchart.HorizontalBarChartBuilder;

/**
 * Draws times in multiples of PyTorch's.
 *
 * <p>Arguments: a table of times with a line for each kind of work and a column for each contender
 * (docs/images/speed.csv), and where to put the picture (target/speed.png).
 */
public final class SpeedChart {
    private static final String UNIT = "PyTorch float64";

    private SpeedChart() {}

    public static void main(String[] args) throws IOException {
        Path table = Path.of(args.length > 0 ? args[0] : "docs/images/speed.csv");
        Path png = Path.of(args.length > 1 ? args[1] : "target/speed.png");
        List<NamedCsvRecord> times;
        try (CsvReader<NamedCsvRecord> lines = CsvReader.builder().ofNamedCsvRecord(table)) {
            times = lines.stream().toList();
        }
        Charts.save(chart(times), png);
    }

    private static HorizontalBarChart chart(List<NamedCsvRecord> times) {
        HorizontalBarChart chart = new HorizontalBarChartBuilder()
                .width(Charts.WIDTH)
                .height(Charts.HEIGHT)
                .title("Time relative to " + UNIT)
                .build();
        Charts.style(chart.getStyler());
        chart.getStyler()
                .setLabelsVisible(true)
                .setLabelsPosition(1.04)
                .setLabelsFont(Charts.FONT)
                .setAvailableSpaceFill(0.8)
                .setPlotGridLinesVisible(false)
                .setLocale(Locale.ROOT)
                .setDecimalPattern("0.##")
                .setSeriesColors(new Color[] {Charts.BLUE, Charts.PALE_BLUE, Charts.GRAY});
        List<String> header = times.get(0).getHeader();
        List<String> works = times.stream().map(line -> line.getField(0)).toList();
        double largest = 1;
        for (String contender : header.subList(1, header.size())) {
            if (!contender.equals(UNIT)) {
                List<Double> ratios = times.stream()
                        .map(line -> time(line, contender) / time(line, UNIT))
                        .toList();
                chart.addSeries(contender, ratios, works);
                largest = Math.max(largest, Collections.max(ratios));
            }
        }
        chart.getStyler().setXAxisMin(0.0).setXAxisMax(1.15 * largest); // space for the label of the longest bar
        chart.addAnnotation(new AnnotationLine(1, true, false));
        return chart;
    }

    private static double time(NamedCsvRecord line, String contender) {
        return Double.parseDouble(line.getField(contender));
    }
}
