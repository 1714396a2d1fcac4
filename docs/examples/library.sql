CREATE TABLE doc_gia (ma_the TEXT PRIMARY KEY, ho_ten TEXT NOT NULL, ngay_sinh TEXT, sdt TEXT, cap_nhat_luc TIMESTAMP);
CREATE TABLE sach (ma_sach INTEGER PRIMARY KEY, ten_sach TEXT NOT NULL, tac_gia TEXT, so_ban INTEGER);
CREATE TABLE muon_sach (ma_the TEXT REFERENCES doc_gia, ma_sach INTEGER REFERENCES sach, ngay_muon DATE, PRIMARY KEY (ma_the, ma_sach));
CREATE TABLE nhat_ky (viec TEXT);
CREATE VIEW sach_dang_muon AS SELECT ma_sach, count(*) AS so FROM muon_sach GROUP BY ma_sach;
INSERT INTO doc_gia VALUES
  ('DG01', 'Phạm Thử Một', '01/02/1985', '0900000011', '2026-11-01 08:00:00'),
  ('DG02', 'Lê Thử Hai', '13/10/1990', '0900000012', '2026-11-02 09:30:00'),
  ('DG03', 'Trần Thử Ba', '25/12/2001', '0900000013', '2026-11-03 10:15:00'),
  ('DG04', 'Đỗ Thử Bốn', '30/04/1975', '0900000014', '2026-11-04 11:45:00'),
  ('DG05', 'Vũ Thử Năm', '19/08/1999', '0900000015', '2026-11-05 14:20:00');
INSERT INTO sach VALUES (1, 'Truyện Kiều', 'Nguyễn Du', 3), (2, 'Số đỏ', 'Vũ Trọng Phụng', 2);
INSERT INTO muon_sach VALUES ('DG01', 1, '2026-11-10'), ('DG02', 2, '2026-11-11');
