package io.github.backnorm.examples;

import java.awt.Color;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.Styler.LegendPosition;

/** Plots two networks' ways through the epochs. */
final class LearningCurves {
    private LearningCurves() {}

    static void save(List<Digits.Epoch> with, List<Digits.Epoch> without, Path png) {
        XYChart loss = chart("training loss", "cross-entropy", with, without, Digits.Epoch::loss);
        loss.getStyler().setYAxisLogarithmic(true).setLegendPosition(LegendPosition.InsideNE);
        XYChart accuracy = chart("validation accuracy", "%", with, without, epoch -> 100 * epoch.accuracy());
        accuracy.getStyler().setYAxisMax(100.0).setLegendPosition(LegendPosition.InsideSE);
        try {
            Files.createDirectories(png.toAbsolutePath().getParent());
            BitmapEncoder.saveBitmap(List.of(loss, accuracy), 1, 2, png.toString(), BitmapFormat.PNG);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static XYChart chart(
            String title,
            String unit,
            List<Digits.Epoch> with,
            List<Digits.Epoch> without,
            ToDoubleFunction<Digits.Epoch> value) {
        XYChart chart = new XYChartBuilder()
                .width(480)
                .height(360)
                .title(title)
                .xAxisTitle("epoch")
                .yAxisTitle(unit)
                .build();
        chart.getStyler().setMarkerSize(6).setChartBackgroundColor(Color.WHITE).setPlotBorderVisible(false);
        chart.addSeries("with batch norm", null, values(with, value));
        chart.addSeries("without", null, values(without, value));
        return chart;
    }

    private static double[] values(List<Digits.Epoch> epochs, ToDoubleFunction<Digits.Epoch> value) {
        return epochs.stream().mapToDouble(value).toArray();
    }
}
