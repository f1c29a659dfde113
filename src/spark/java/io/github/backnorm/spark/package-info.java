/**
 * Backnorm on Apache Spark 4: {@link io.github.backnorm.spark.Scorer} adds a network's scores to the rows of a table.
 *
 * <p>The classes are in a jar of their own, with the classifier {@code spark}, beside the library's; Spark is what the
 * user's program or cluster has. {@code spark-submit --jars} takes both jars.
 */
package io.github.backnorm.spark;
